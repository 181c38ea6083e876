//! File names that no system minds, made from names that peers chose.
//!
//! What comes out has no separators, controls or writing marks, is no name that
//! Windows keeps for itself, hides nothing by a leading dot, and is at most 255
//! bytes long. Two names that differ in case alone count as one.

/// Longest name in bytes.
const NAME_BYTES: usize = 255;
/// Longest ending that is kept as one, its dot included.
const ENDING_BYTES: usize = 16;
const RESERVED: [&str; 7] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"];

/// The name under which a file is written.
pub(crate) fn safe(name: &str) -> String {
    let clean: String = name
        .chars()
        .map(|c| if is_harmless(c) { c } else { '_' })
        .collect();
    let mut clean = clean.trim_start_matches(' ').to_owned();
    clean.truncate(clean.trim_end_matches(['.', ' ']).len());
    if clean.is_empty() {
        return "unnamed".into();
    }
    // A dot in front hides a file, and some hidden files are obeyed by other programs.
    if clean.starts_with('.') || is_reserved(&clean) {
        clean.insert(0, '_');
    }
    shortened(&clean, "")
}

/// The n-th name for files that would have the same: `a.jpg`, `a (2).jpg`, `a (3).jpg`.
pub(crate) fn numbered(name: &str, n: u32) -> String {
    if n == 1 {
        return name.to_owned();
    }
    shortened(name, &format!(" ({n})"))
}

/// The name of what stands beside a file: `a.jpg.xmp`.
pub(crate) fn beside(name: &str, ending: &str) -> String {
    let room = NAME_BYTES - ending.len();
    let mut end = name.len().min(room);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", &name[..end])
}

/// What two names have in common that some system takes for one.
pub(crate) fn key(name: &str) -> String {
    name.to_lowercase()
}

fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        // Marks that turn the writing round or break lines.
        && !matches!(
            u32::from(c),
            0x061c | 0x200e | 0x200f | 0x2028..=0x202e | 0x2066..=0x2069 | 0xfeff
        )
}

fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let stem = stem.to_uppercase();
    if RESERVED.contains(&stem.as_str()) {
        return true;
    }
    let port = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"));
    // Windows counts raised digits too.
    let raised = ['\u{b9}', '\u{b2}', '\u{b3}'];
    port.is_some_and(|number| {
        let mut digits = number.chars();
        let digit = digits.next();
        digits.next().is_none() && digit.is_some_and(|c| c.is_ascii_digit() || raised.contains(&c))
    })
}

/// The name with something before its ending, cut where it is longest.
fn shortened(name: &str, mark: &str) -> String {
    let (stem, ending) = match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= ENDING_BYTES => name.split_at(at),
        _ => (name, ""),
    };
    let room = NAME_BYTES - ending.len() - mark.len();
    let mut end = stem.len().min(room);
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    let stem = stem[..end].trim_end_matches(['.', ' ']);
    format!("{stem}{mark}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_attack_are_made_harmless() {
        for (name, written) in [
            ("IMG_1.JPG", "IMG_1.JPG"),
            ("Sommer 2023 \u{1f3d6}.jpg", "Sommer 2023 \u{1f3d6}.jpg"),
            ("../x", "_._x"),
            ("..", "unnamed"),
            (".", "unnamed"),
            ("", "unnamed"),
            (" . ", "unnamed"),
            ("/etc/passwd", "_etc_passwd"),
            ("C:\\a.jpg", "C__a.jpg"),
            (".bashrc", "_.bashrc"),
            ("a.jpg.", "a.jpg"),
            ("a.jpg . .", "a.jpg"),
            ("CON", "_CON"),
            ("con.jpg", "_con.jpg"),
            ("Com7.tar.gz", "_Com7.tar.gz"),
            ("COM\u{b9}.jpg", "_COM\u{b9}.jpg"),
            ("LPT10.jpg", "LPT10.jpg"),
            ("console.jpg", "console.jpg"),
            ("a\u{202e}gpj.exe", "a_gpj.exe"),
            ("a\nb\u{7}\u{1b}[2J.jpg", "a_b__[2J.jpg"),
            ("a\0b", "a_b"),
            ("<a>:\"b\"|?*.png", "_a___b____.png"),
        ] {
            assert_eq!(safe(name), written, "{name:?}");
            assert_eq!(safe(written), written, "safe names stay");
        }
    }

    #[test]
    fn long_names_are_cut_before_their_ending() {
        let long = safe(&format!("{}.jpeg", "\u{e9}".repeat(200)));
        assert!(long.len() <= 255 && long.len() >= 253, "{}", long.len());
        assert!(long.ends_with("\u{e9}.jpeg"));
        let second = numbered(&long, 12);
        assert!(second.len() <= 255 && second.ends_with(" (12).jpeg"));
        assert_eq!(safe(&"x".repeat(300)).len(), 255);
        assert_eq!(safe(&format!("a.{}", "b".repeat(300))).len(), 255);
        assert_eq!(beside(&"x".repeat(255), ".xmp").len(), 255);
        assert!(!safe(&format!("{} .jpg", "x".repeat(249))).contains(" ."));
    }

    #[test]
    fn numbers_stand_before_the_ending() {
        assert_eq!(numbered("a.jpg", 1), "a.jpg");
        assert_eq!(numbered("a.jpg", 2), "a (2).jpg");
        assert_eq!(numbered("a", 3), "a (3)");
        assert_eq!(numbered(".x", 2), ".x (2)");
        assert_eq!(beside("a.jpg", ".json"), "a.jpg.json");
        assert_eq!(key("IMG.JPG"), key("img.jpg"));
    }
}
