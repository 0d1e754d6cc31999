//! Descriptions that come as HTML, as text.

use super::job::clean;

/// The most HTML of one description that is looked at, in bytes.
const MAX_HTML: usize = 64 << 10;

/// Wider than any paragraph: lines are broken where the author did, and nowhere else.
const WIDTH: usize = 20_000;

/// The text of a piece of HTML: paragraphs and list items on lines of their own, without styles and links.
pub(super) fn text(html: &str) -> String {
    let text = rendered(html);
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        // Rules are drawn over the whole width.
        let is_rule = !line.is_empty() && line.chars().all(|c| c == '─');
        let is_second_blank = line.is_empty() && lines.last().is_none_or(|last| last.is_empty());
        if !(is_rule || is_second_blank) {
            lines.push(line);
        }
    }
    clean(&lines.join("\n"))
}

fn rendered(html: &str) -> String {
    let mut end = html.len().min(MAX_HTML);
    while !html.is_char_boundary(end) {
        end -= 1;
    }
    html2text::config::rich()
        .raw_mode(true)
        .string_from_read(&html.as_bytes()[..end], WIDTH)
        .unwrap_or_default()
}

/// What escaped HTML stands for.
pub(super) fn unescaped(escaped: &str) -> String {
    // Without markup in it, all that is left to do is to replace entities.
    rendered(escaped)
}

/// A short text that may have entities in it.
pub(super) fn line(text: &str) -> String {
    let plain = if text.contains('&') && text.contains(';') {
        self::text(text)
    } else {
        clean(text)
    };
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_becomes_lines_of_text() {
        let html = "<p>We <b>build</b> &amp; ship&nbsp;things.<br>Often.</p><hr><script>alert(1)</script>\
                    <ul><li>Rust</li><li>Go <a href='https://example.com'>here</a></li></ul><p></p><p></p><p>Apply!</p>";
        assert_eq!(
            text(html),
            "We build & ship\u{a0}things.\nOften.\n* Rust\n* Go here\n\nApply!"
        );
        assert_eq!(line("R&amp;D  Engineer"), "R&D Engineer");
        assert_eq!(line("Q&A <x>"), "Q&A <x>");
    }

    #[test]
    fn long_lines_are_not_broken_and_long_html_is_cut() {
        let words = "word ".repeat(1_000);
        assert_eq!(text(&format!("<p>{words}</p>")).lines().count(), 1);
        assert!(text(&"ü".repeat(MAX_HTML)).chars().count() <= 8_000);
        // Deeply nested, as no person writes it.
        assert!(text(&"<div>".repeat(12_000)).is_empty());
    }
}
