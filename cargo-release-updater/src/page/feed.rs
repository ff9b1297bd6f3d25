//! The Atom feed (RFC 4287) of the releases of the first channel that everybody gets.

use super::html::escape;
use super::model::{Offer, Release, Site};
use std::fmt::Write as _;
use updater_format::UtcTime;

/// Writes the feed.
pub(super) fn feed(site: &Site) -> String {
    let url = site.url.as_str();
    let app = escape(site.app.as_str());
    let listed = site.channels.first();
    let all = listed.into_iter().flat_map(|listed| &listed.releases);
    let releases: Vec<&Release> = all.filter(|release| release.offer == Offer::Everybody).collect();
    let newest = releases.iter().map(|release| when(release)).max().unwrap_or(UtcTime::from_unix(0));
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n\
         <title>{app}</title>\n<id>{url}/</id>\n<updated>{newest}</updated>\n<author><name>{app}</name></author>\n\
         <link rel=\"self\" href=\"{url}/feed.xml\"/>\n<link rel=\"alternate\" type=\"text/html\" href=\"{url}/\"/>\n",
        url = escape(url),
    );
    for release in releases {
        let version = escape(&release.version.to_string());
        let channel = listed.map_or("", |listed| listed.channel.as_str());
        let link = format!("{}/#{}-{version}", escape(url), escape(channel));
        let _ = writeln!(
            text,
            "<entry>\n<title>{app} {version}</title>\n<id>{link}</id>\n<updated>{}</updated>\n\
             <link rel=\"alternate\" type=\"text/html\" href=\"{link}\"/>\n<content type=\"html\">{}</content>\n</entry>",
            when(release),
            // HTML inside XML is text.
            escape(release.notes.as_deref().unwrap_or("No release notes.")),
        );
    }
    text.push_str("</feed>\n");
    text
}

/// A release from before publishers said when.
fn when(release: &Release) -> UtcTime {
    release.released.unwrap_or(UtcTime::from_unix(0))
}
