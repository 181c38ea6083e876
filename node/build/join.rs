//! Joins scripts: modules that are needed together become one, in the order in which a browser would run them.

use std::collections::{BTreeMap, BTreeSet};

/// The modules of the page by name.
pub(crate) type Modules = BTreeMap<String, Module>;

/// One module.
pub(crate) struct Module {
    /// As it was written: what stands at the beginning of a line is there for all of the module.
    pub(crate) source: String,
    /// As [`super::strip::script`] left it.
    pub(crate) code: String,
}

/// Scripts that the page fetches: a name, and the module that it begins with. What one has, the later ones take from it.
const SCRIPTS: [(&str, &str); 2] = [("main.js", "main.js"), ("viewer.js", "viewer.js")];
/// Everything else: screens that are fetched when the first of them is looked at.
const SCREENS: &str = "screens.js";

/// A statement `import NAMES from "./FILE";`.
struct Import<'a> {
    names: &'a str,
    from: &'a str,
}

fn import(line: &str) -> Option<Import<'_>> {
    let (names, from) = line.strip_prefix("import ")?.split_once(" from \"./")?;
    let from = from.strip_suffix("\";")?;
    Some(Import { names, from })
}

/// What a module gives names to, for all of it.
fn declared(line: &str) -> Option<&str> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    let named = ["function ", "class ", "const ", "let "];
    let rest = named.iter().find_map(|kind| line.strip_prefix(kind))?;
    let end = rest.find(|one: char| !one.is_ascii_alphanumeric() && one != '_');
    Some(&rest[..end.unwrap_or(rest.len())])
}

/// A module and, before it, all that it imports, once each.
fn visit(modules: &Modules, name: &str, seen: &mut BTreeSet<String>, order: &mut Vec<String>) {
    let Some(module) = modules.get(name) else {
        return;
    };
    if !seen.insert(name.to_owned()) {
        return;
    }
    for one in module.code.lines().filter_map(import) {
        visit(modules, one.from, seen, order);
    }
    order.push(name.to_owned());
}

/// Joins all modules into scripts, by their names.
///
/// # Errors
///
/// In words, if two modules that stand in one script give the same name to different
/// things, or import in a way that is not known here.
pub(crate) fn join(modules: &Modules) -> Result<BTreeMap<&'static str, String>, String> {
    let mut seen = BTreeSet::new();
    let mut parts = Vec::new();
    for (script, first) in SCRIPTS {
        let mut order = Vec::new();
        visit(modules, first, &mut seen, &mut order);
        parts.push((script, order));
    }
    let mut order = Vec::new();
    for name in modules.keys() {
        visit(modules, name, &mut seen, &mut order);
    }
    parts.push((SCREENS, order));
    let place: BTreeMap<&str, &str> = parts
        .iter()
        .flat_map(|(script, order)| order.iter().map(|name| (name.as_str(), *script)))
        .collect();
    let scripts = parts.iter().map(|(script, order)| {
        let joined = one(modules, script, order, &place)?;
        Ok((*script, joined))
    });
    scripts.collect()
}

fn one(
    modules: &Modules,
    script: &str,
    order: &[String],
    place: &BTreeMap<&str, &str>,
) -> Result<String, String> {
    let mut vendored = BTreeSet::new();
    let mut taken: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    let mut body = String::new();
    for name in order {
        let module = &modules[name];
        for declared in module.source.lines().filter_map(declared) {
            if !names.insert(declared) {
                return Err(format!("{name}: {declared} is something else in {script}"));
            }
        }
        for line in module.code.lines() {
            if let Some(import) = import(line) {
                match place.get(import.from) {
                    None => _ = vendored.insert(line),
                    Some(from) if *from == script => {}
                    Some(from) => {
                        let inside = import.names.trim_matches(['{', '}', ' ']);
                        taken.entry(from).or_default().extend(inside.split(", "));
                    }
                }
                continue;
            }
            if line.starts_with("import ") {
                return Err(format!("{name}: not joined: {line}"));
            }
            body.push_str(&later(line, place));
            body.push('\n');
        }
    }
    let both = taken.values().flatten().find(|name| names.contains(*name));
    if let Some(both) = both {
        return Err(format!("{both} is imported and declared in {script}"));
    }
    let mut out = String::new();
    for line in vendored {
        out.push_str(line);
        out.push('\n');
    }
    for (from, names) in taken {
        let names: Vec<&str> = names.into_iter().collect();
        out.push_str(&format!(
            "import {{ {} }} from \"./{from}\";\n",
            names.join(", ")
        ));
    }
    Ok(out + &body)
}

/// A line with `import("./FILE")` led to where the module is now.
fn later(line: &str, place: &BTreeMap<&str, &str>) -> String {
    let mut parts = line.split("import(\"./");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('"').unwrap_or((part, ""));
        let to = place.get(name).unwrap_or(&name);
        out.push_str(&format!("import(\"./{to}\"{rest}"));
    }
    out
}
