//! Release notes for people: Markdown to HTML. Tags that stand in the Markdown become text, and links lead to web pages
//! only, so that notes can neither run anything nor load anything.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// Turns Markdown into HTML.
pub(super) fn to_html(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let events = Parser::new_ext(markdown, options).filter_map(tame);
    let mut text = String::new();
    html::push_html(&mut text, events);
    text
}

/// Makes one event harmless; `None` for what is left out.
fn tame(event: Event<'_>) -> Option<Event<'_>> {
    Some(match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        // The page's own headings are above those of the notes.
        Event::Start(Tag::Heading { .. }) => Event::Start(Tag::Strong),
        Event::End(TagEnd::Heading(_)) => Event::End(TagEnd::Strong),
        // An image would be a request to somebody else. Its description stays.
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => return None,
        Event::Start(Tag::Link { link_type, dest_url, id, .. }) => {
            let dest_url = if is_web(&dest_url) { dest_url } else { CowStr::Borrowed("#") };
            Event::Start(Tag::Link { link_type, dest_url, title: CowStr::Borrowed(""), id })
        }
        other => other,
    })
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_marked_up() {
        let html = to_html("### Fixed\n\n- a *slow* start\n- see [the page](https://example.com/a?b=1&c=2)\n");
        assert!(html.contains("<strong>Fixed</strong>"), "{html}");
        assert!(html.contains("<li>a <em>slow</em> start</li>"), "{html}");
        assert!(html.contains("<a href=\"https://example.com/a?b=1&amp;c=2\">the page</a>"), "{html}");
    }

    #[test]
    fn nothing_runs_and_nothing_loads() {
        let hostile = "<script>alert(1)</script>\n\nA <img src=x onerror=alert(1)> b\n\n![x](https://evil.example/a.png)\n\n\
                       [click](javascript:alert(1)) <a href=\"javascript:alert(1)\">c</a> [d](data:text/html,x) \
                       [e](JaVaScRiPt:alert(1)) <https://example.com>\n\n[f](# \"x\\\" onclick=\\\"alert(1)\")";
        let html = to_html(hostile);
        for bad in ["<script", "<img", "<a href=\"java", "<a href=\"JaVa", "<a href=\"data", "evil.example/a.png\""] {
            assert!(!html.contains(bad), "{bad} in {html}");
        }
        assert!(html.contains("&lt;script&gt;"), "{html}");
        assert!(html.contains("href=\"https://example.com\""), "{html}");
        assert!(!html.contains(" onclick="), "{html}");
    }
}
