//! Codes on a screen: QR in half blocks, recovery words in a numbered grid.

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

/// Draws a QR code, two rows of it in each line of text; `None` when `link` is too long for one.
///
/// With colour it is black on white whatever the terminal's colours are. Without
/// it the blocks are the light modules, which reads rightly on a dark terminal.
pub(crate) fn qr(link: &str, color: bool) -> Option<String> {
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    let (dark, light) = if color {
        (Dense1x2::Dark, Dense1x2::Light)
    } else {
        (Dense1x2::Light, Dense1x2::Dark)
    };
    let drawn = code
        .render::<Dense1x2>()
        .dark_color(dark)
        .light_color(light)
        .build();
    if !color {
        return Some(drawn);
    }
    let lines: Vec<String> = drawn
        .lines()
        .map(|line| format!("\u{1b}[38;5;16;48;5;231m{line}\u{1b}[0m"))
        .collect();
    Some(lines.join("\n"))
}

/// Lays out words in rows of four, each with its number.
pub(crate) fn word_grid(words: &[String]) -> Vec<String> {
    let numbered: Vec<String> = (1..)
        .zip(words)
        .map(|(number, word)| format!("{number:>4}. {word:<10}"))
        .collect();
    numbered
        .chunks(4)
        .map(|row| row.concat().trim_end().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_is_square_with_a_quiet_border() {
        let drawn = qr("heirloom:join/abc", false).expect("short enough");
        let lines: Vec<&str> = drawn.lines().collect();
        let width = lines[0].chars().count();
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(
            lines[0].chars().all(|c| c == '\u{2588}'),
            "the border is light"
        );
        assert!(qr(&"x".repeat(5000), false).is_none());
        assert!(qr("x", true).expect("short enough").contains("\u{1b}["));
    }

    #[test]
    fn words_are_numbered_in_rows_of_four() {
        let words: Vec<String> = ["abandon", "zoo", "river", "copper", "napkin"]
            .map(str::to_owned)
            .into();
        assert_eq!(
            word_grid(&words),
            [
                "   1. abandon      2. zoo          3. river        4. copper",
                "   5. napkin"
            ]
        );
    }
}
