//! A group of decoders for libFuzzer, by the name in `HEIRLOOM_FUZZ_GROUP`: `targets/mod.rs` lists them.
#![no_main]

#[path = "../vectors/case.rs"]
#[expect(dead_code, reason = "vectors are read here and made elsewhere")]
mod case;
#[expect(dead_code, reason = "main.rs writes the inputs that these begin with")]
mod targets;
#[path = "../vectors/verify.rs"]
#[allow(dead_code, unused_imports, reason = "what makes vectors needs more")]
mod verify;

use std::sync::LazyLock;

use targets::Target;

static GROUP: LazyLock<Vec<&'static Target>> = LazyLock::new(|| {
    let name =
        std::env::var("HEIRLOOM_FUZZ_GROUP").expect("HEIRLOOM_FUZZ_GROUP names the decoders");
    targets::group(&name)
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((choice, bytes)) = bytes.split_first() {
        (GROUP[usize::from(*choice) % GROUP.len()].run)(bytes);
    }
});
