//! Packs the gallery's page into the program: scripts joined, styles joined, all without
//! comments and idle space, and each also as gzip. No other tool is needed to build it.

#[path = "build/join.rs"]
mod join;
#[path = "build/strip.rs"]
mod strip;

use std::{env, error::Error, fmt::Write as _, fs, num::NonZeroU64, path::Path};

const SOURCES: &str = "src/gallery/assets";
/// The styles in the order in which they apply; they become `style.css`.
const STYLES: [&str; 6] = [
    "vendor/photoswipe.css",
    "base.css",
    "frame.css",
    "timeline.css",
    "viewer.css",
    "screens.css",
];

fn main() -> Result<(), Box<dyn Error>> {
    for watched in ["build.rs", "build", SOURCES] {
        println!("cargo::rerun-if-changed={watched}");
    }
    let mut packed: Vec<(String, Vec<u8>)> = Vec::new();
    let mut modules = join::Modules::new();
    for name in names(Path::new(SOURCES), "")? {
        let from = Path::new(SOURCES).join(&name);
        match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("js") if !name.contains('/') => {
                let source = fs::read_to_string(from)?;
                let code = strip::script(&source);
                modules.insert(name, join::Module { source, code });
            }
            Some("css") => {}
            Some("json") => packed.push((name, strip::table(&fs::read_to_string(from)?).into())),
            _ => packed.push((name, fs::read(from)?)),
        }
    }
    for (name, script) in join::join(&modules)? {
        packed.push((name.to_owned(), script.into()));
    }
    let mut style = String::new();
    for name in STYLES {
        style += &strip::style(&fs::read_to_string(Path::new(SOURCES).join(name))?);
    }
    packed.push(("style.css".to_owned(), style.into()));
    write(&packed)
}

/// All files below a folder, by their paths with slashes, in order.
fn names(folder: &Path, before: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| "a name that is no text")?;
        match entry.file_type()?.is_dir() {
            true => found.extend(names(&entry.path(), &format!("{before}{name}/"))?),
            false => found.push(format!("{before}{name}")),
        }
    }
    found.sort();
    Ok(found)
}

/// Writes the files and a table of them, in the order of their names.
fn write(packed: &[(String, Vec<u8>)]) -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let mut order: Vec<_> = packed.iter().collect();
    order.sort();
    let mut table = String::from("[\n");
    for (nth, (name, bytes)) in order.into_iter().enumerate() {
        let (plain, short) = (format!("page-{nth}"), format!("page-{nth}.gz"));
        fs::write(out.join(&plain), bytes)?;
        fs::write(out.join(&short), gzip(bytes)?)?;
        let at = |name: &str| format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\"))");
        writeln!(
            table,
            "PageFile {{ name: {name:?}, plain: {}, gzip: {} }},",
            at(&plain),
            at(&short)
        )?;
    }
    fs::write(out.join("page.rs"), table + "]\n")?;
    Ok(())
}

/// How often a smaller gzip is looked for; more than these find some bytes of a file.
const TRIES: NonZeroU64 = NonZeroU64::new(5).unwrap();

/// What a browser that takes gzip is sent, in the fewest bytes.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let options = zopfli::Options {
        iteration_count: TRIES,
        ..zopfli::Options::default()
    };
    let mut short = Vec::new();
    zopfli::compress(options, zopfli::Format::Gzip, bytes, &mut short)?;
    Ok(short)
}
