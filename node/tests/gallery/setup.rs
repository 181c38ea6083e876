//! A home that is not set up: its page leads through it and gives nothing else.

use serde_json::json;

use crate::{client::Browser, world::Home};

#[tokio::test]
async fn a_home_that_is_not_set_up_offers_nothing_else() {
    let home = Home::empty().await;
    let browser = Browser::of(&home).await;
    let state = browser.get("/api/v1/state").await.json();
    assert_eq!(state["set_up"], false);
    assert_eq!(state["limited"], false);
    assert!(state["device"].is_string(), "a name to begin with");
    for path in ["/api/v1/timeline", "/api/v1/month/2020-01", "/thumb/00"] {
        assert_eq!(
            browser.get(path).await.error(),
            (409, "E-NOT-SET-UP".into()),
            "{path}"
        );
    }
    for act in ["status", "list", "import", "album", "recovery", "export"] {
        let told = browser.act(act, &json!({"do": "list"})).await;
        assert_eq!(told.last().unwrap()["id"], "E-NOT-SET-UP", "{act}");
    }
    assert_eq!(browser.upload("batch=a&name=a.jpg", b"x").await.status, 409);
    assert_eq!(browser.post("/api/v1/phone", "{}").await.status, 400);
}

#[tokio::test]
async fn the_page_founds_a_family_and_goes_on() {
    let home = Home::empty().await;
    let browser = Browser::of(&home).await;
    let body = json!({"family": "Berger", "person": "Anna", "device": "laptop"});
    let told = browser.act("init", &body).await;
    let summary = told.last().unwrap();
    assert_eq!(summary["type"], "summary", "{told:?}");
    assert_eq!(summary["recovery"].as_array().map(Vec::len), Some(24));
    let state = browser.get("/api/v1/state").await.json();
    assert_eq!(state["set_up"], true);
    let names = (&state["family"], &state["person"], &state["device"]);
    assert_eq!(names, (&json!("Berger"), &json!("Anna"), &json!("laptop")));
    assert_eq!(browser.get("/api/v1/timeline").await.json()["total"], 0);
    let again = browser.act("init", &body).await;
    assert_eq!(again.last().unwrap()["id"], "E-ALREADY-SET-UP");
}
