//! What building does to the page's files: they say the same with fewer bytes.

use crate::{
    join::{Module, Modules, join},
    strip::{script, style, table},
};

#[test]
fn a_script_loses_its_comments_and_nothing_else() {
    for (source, want) in [
        ("// why\nlet a = 1; // that\n", "let a=1;\n"),
        ("  /** @type {any} */\n  let a = (b);\n", "let a=(b);\n"),
        ("a = /** @type {any} */ (b) / 2 / c;\n", "a=(b)/ 2 / c;\n"),
        (r#"a = "//" + '/*' + "\"//";"#, r#"a="//"+'/*'+"\"//";"#),
        (
            r"if (/[/*]\/\//.test(a)) b();",
            r"if(/[/*]\/\//.test(a))b();",
        ),
        ("return /\"/.exec(a);", "return /\"/.exec(a);"),
        (
            "a = `// ${b /* no */ + `/*${c}*/`} \\` //`;",
            "a=`// ${b +`/*${c}*/`} \\` //`;",
        ),
        ("a = `${ { b: {} } }//`; // c", "a=`${{b:{}}}//`;"),
        (
            "html`<p>\n    ${a}  b\n  </p>`;",
            "html`<p>\n${a}  b\n</p>`;",
        ),
        ("a = 'A \u{e4} /';\n\n\n  b();\n", "a='A \u{e4} /';\nb();\n"),
    ] {
        assert_eq!(script(source), want, "{source}");
    }
}

#[test]
fn a_space_stays_where_a_script_would_mean_something_else_without_it() {
    for (source, want) in [
        ("a + +b - -c + -d", "a+ +b- -c+-d"),
        ("a++ + ++b", "a++ + ++b"),
        ("a * /b c/.c / d", "a*/b c/.c / d"),
        ("a / /b c/.c", "a / /b c/.c"),
        (
            "for (const a of [1]) if (b in c) return a;",
            "for(const a of[1])if(b in c)return a;",
        ),
        ("html `a = b ${ c = d } e` + f", "html`a = b ${c=d} e`+f"),
        ("a ? .5 : b?.c", "a?.5:b?.c"),
        (
            "import { a } from \"./a.js\";\nlet { b } = a;",
            "import { a } from \"./a.js\";\nlet{b}=a;",
        ),
    ] {
        let told = script(source);
        assert_eq!(told, want, "{source}");
        assert_eq!(script(&told), told, "{source}");
    }
}

#[test]
fn a_style_keeps_what_space_means() {
    for (source, want) in [
        ("/* a */\n.a .b {\n  color: red;\n}\n", ".a .b{color:red}"),
        (
            ".a,\n.b > c { margin: 0 auto; top: 0 }",
            ".a,.b > c{margin:0 auto;top:0}",
        ),
        (
            "@media (width > 1px) {\n a {b: c} }",
            "@media (width > 1px){a{b:c}}",
        ),
        (
            ".a::before { content: \" /* {  \"; }",
            ".a::before{content:\" /* {  \"}",
        ),
        (
            "a { width: calc(1px\n  + 2px) }",
            "a{width:calc(1px + 2px)}",
        ),
    ] {
        assert_eq!(style(source), want, "{source}");
    }
    assert_eq!(table("{\n  \"a\": \"b: c\"\n}\n"), "{\"a\":\"b: c\"}");
}

fn modules(files: &[(&str, &str)]) -> Modules {
    let module = |source: &str| Module {
        source: source.to_owned(),
        code: script(source),
    };
    files
        .iter()
        .map(|(name, source)| ((*name).to_owned(), module(source)))
        .collect()
}

#[test]
fn modules_are_joined_in_the_order_in_which_they_run() {
    let all = modules(&[
        (
            "a.js",
            "import { b } from \"./b.js\";\nexport const a = b + 1;\n",
        ),
        (
            "b.js",
            "import x from \"./vendor/x.js\";\nexport const b = x;\n",
        ),
        (
            "main.js",
            "import { a } from \"./a.js\";\nimport(\"./screen.js\").then(() => a);\n",
        ),
        (
            "screen.js",
            "import { b } from \"./b.js\";\nexport const screen = b;\n",
        ),
        (
            "viewer.js",
            "import { a } from \"./a.js\";\nexport const viewer = a;\n",
        ),
    ]);
    let joined = join(&all).unwrap();
    assert_eq!(
        joined["main.js"],
        "import x from \"./vendor/x.js\";\nexport const b=x;\nexport const a=b+1;\nimport(\"./screens.js\").then(()=>a);\n"
    );
    assert_eq!(
        joined["viewer.js"],
        "import { a } from \"./main.js\";\nexport const viewer=a;\n"
    );
    assert_eq!(
        joined["screens.js"],
        "import { b } from \"./main.js\";\nexport const screen=b;\n"
    );
}

#[test]
fn one_name_for_two_things_is_refused() {
    let two = modules(&[
        ("a.js", "const a = 1;\n"),
        ("b.js", "const a = 2;\n"),
        ("main.js", "const c = 1;\n"),
    ]);
    assert!(join(&two).unwrap_err().contains("a is something else"));
    let both = modules(&[
        ("a.js", "import { c } from \"./main.js\";\n"),
        ("b.js", "const c = 2;\n"),
        ("main.js", "export const c = 1;\n"),
    ]);
    assert!(join(&both).unwrap_err().contains("imported and declared"));
    let unknown = modules(&[("main.js", "import * as all from \"./a.js\", b;\n")]);
    assert!(join(&unknown).is_err());
}
