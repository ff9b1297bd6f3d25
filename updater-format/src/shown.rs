//! Text from outside, harmless to a terminal or a log.

/// Returns the text with everything escaped that a terminal or a log would obey instead of showing it: control
/// characters (among them ESC and newlines), and the invisible ones that reorder or hide other text. At most `limit`
/// characters are kept; a longer text ends in `...`.
///
/// ```
/// assert_eq!(updater_format::terminal_safe("1.2.0 \u{1b}[2Jbuy now", 9), r"1.2.0 \u{1b}[2...");
/// ```
#[must_use]
pub fn terminal_safe(text: &str, limit: usize) -> String {
    let mut safe = String::with_capacity(text.len().min(limit));
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            safe.push_str("...");
            break;
        }
        if c.is_control() || is_invisible(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Tells whether a character is drawn as nothing, or changes how its neighbours are drawn (Unicode 16, UAX #9 and the
/// default-ignorable characters in use).
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// How many characters of a remote string an error message repeats: enough to recognise it, too few to flood a screen.
pub const SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        let hostile = "\u{1b}]0;owned\u{7}\r\nerror: \u{202e}txt.exe\u{9b}31m\u{200b}";
        let safe = terminal_safe(hostile, 200);
        assert_eq!(safe, r"\u{1b}]0;owned\u{7}\u{d}\u{a}error: \u{202e}txt.exe\u{9b}31m\u{200b}");
        assert_eq!(terminal_safe("später 日本 🦀", 200), "später 日本 🦀");
        assert_eq!(terminal_safe("abcdef", 3), "abc...");
        assert_eq!(terminal_safe("abc", 3), "abc");
    }
}
