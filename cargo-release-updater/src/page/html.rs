//! The values of the page's template. Everything is in the page itself: with its script it only picks the visitor's
//! system, without it nothing is missing.

use super::model::{Download, Listed, Offer, Release, Site};
use super::platform::Named;
use crate::progress::human_bytes;
use std::fmt::Write as _;

/// Returns the values of `index.html`.
pub(super) fn values(site: &Site) -> Vec<(&'static str, String)> {
    vec![
        ("app", escape(site.app.as_str())),
        ("description", escape(site.description.as_deref().unwrap_or("Downloads and releases"))),
        ("about", about(site)),
        ("newest", newest(site)),
        ("install", install(site)),
        ("verify", verify(site)),
        ("sizes", sizes(site)),
        ("releases", site.channels.iter().map(|listed| channel(listed, site.channels.len() > 1)).collect()),
    ]
}

fn about(site: &Site) -> String {
    let mut text = String::new();
    if let Some(description) = &site.description {
        let _ = write!(text, "<p>{}</p>", escape(description));
    }
    if let Some(homepage) = site.homepage.as_deref().filter(|url| url.starts_with("http")) {
        let _ = write!(text, "<p><a href=\"{0}\">{0}</a></p>", escape(homepage));
    }
    text
}

/// The downloads of the newest release.
fn newest(site: &Site) -> String {
    let Some((listed, release)) = site.newest() else {
        return "<p>No release is offered to everybody at the moment.</p>".to_owned();
    };
    let mut text = format!(
        "<p class=\"version\">Version <strong>{}</strong>{}{}</p>\n<p id=\"pick\" hidden></p>\n<ul class=\"downloads\">\n",
        escape(&release.version.to_string()),
        date(release).map(|date| format!(", {date}")).unwrap_or_default(),
        if listed.channel == updater_format::Channel::stable() {
            String::new()
        } else {
            format!(" (channel {})", escape(listed.channel.as_str()))
        },
    );
    for download in &release.downloads {
        let named = Named::of(&download.platform);
        let _ = writeln!(
            text,
            "<li><a class=\"download\" href=\"{path}\" download data-system=\"{key}\" data-triple=\"{triple}\">\
             <span class=\"system\">{system}</span> <span class=\"detail\">{processor} · {size}</span></a></li>",
            path = escape(&download.path),
            key = escape(&named.key),
            triple = escape(download.platform.as_str()),
            system = escape(&named.system),
            processor = escape(&named.processor),
            size = unbroken(download.length),
        );
    }
    text.push_str("</ul>");
    text
}

/// The two commands that install.
fn install(site: &Site) -> String {
    let url = &site.url;
    if url.is_empty() || site.newest().is_none() {
        return String::new();
    }
    let has = |key: &str| {
        let downloads = site.newest().into_iter().flat_map(|(_, release)| &release.downloads);
        downloads.into_iter().any(|download| (Named::of(&download.platform).key == "windows") == (key == "windows"))
    };
    let mut text = String::from("<h2>Install from a terminal</h2>\n");
    if has("unix") {
        let _ = writeln!(
            text,
            "<p>Linux, macOS and BSD:</p>\n<pre tabindex=\"0\"><code>curl -fsSL {0}/install.sh | sh</code></pre>",
            escape(url)
        );
    }
    if has("windows") {
        let _ = writeln!(
            text,
            "<p>Windows (PowerShell):</p>\n<pre tabindex=\"0\"><code>irm {0}/install.ps1 | iex</code></pre>",
            escape(url)
        );
    }
    text.push_str(
        "<p class=\"small\">This runs a script from this server: you trust the server for as long as that takes. \
         The script then checks the signature of what it installs; from the first start on the program updates itself, and \
         trusts no server.</p>",
    );
    text
}

/// How a download is checked by hand.
fn verify(site: &Site) -> String {
    let Some((listed, release)) = site.newest() else { return String::new() };
    let (Some(key), Some(download)) = (listed.keys.first(), release.downloads.first()) else { return String::new() };
    let file = download.path.rsplit('/').next().unwrap_or_default();
    format!(
        "<h2>Check a download</h2>\n<p>Each file has a signature beside it, <code>.minisig</code>, for \
         <a href=\"https://jedisct1.github.io/minisign/\">minisign</a>:</p>\n\
         <pre tabindex=\"0\"><code>minisign -V -P {} \\\n    -m {}</code></pre>\n\
         <p class=\"small\">Compare the key with one from another place, such as the project's source: a key from the server \
         that also has the files proves little.</p>",
        escape(key),
        escape(file),
    )
}

/// The chart: what a whole download weighs, and what an update weighs; a release that can be opened for each. Nobody is
/// updated to a withdrawn one.
fn sizes(site: &Site) -> String {
    let Some(listed) = site.channels.first() else { return String::new() };
    let with_patches = |release: &'_ &Release| release.downloads.iter().any(|download| !download.patches.is_empty());
    let offered = listed.releases.iter().filter(|release| release.offer != Offer::Nobody);
    let releases: Vec<&Release> = offered.filter(with_patches).collect();
    let all = releases.iter().flat_map(|release| &release.downloads);
    let Some(largest) = all.map(|download| download.length).max().filter(|length| *length > 0) else {
        return String::new();
    };
    let mut text = String::from("<h2>What an update weighs</h2>\n");
    for (number, release) in releases.into_iter().enumerate() {
        let _ = writeln!(
            text,
            "<details{}><summary><strong>{}</strong> <span class=\"detail\">{}</span></summary>\n<table class=\"chart\">\n\
             <thead><tr><th scope=\"col\">System</th><th scope=\"col\">Download</th></tr></thead>\n<tbody>",
            if number == 0 { " open" } else { "" },
            escape(&release.version.to_string()),
            range(release),
        );
        for download in &release.downloads {
            let named = Named::of(&download.platform);
            let _ = writeln!(
                text,
                "<tr><th scope=\"row\">{} <span class=\"detail\">{}</span></th><td>{}</td></tr>",
                escape(&named.system),
                escape(&named.processor),
                bars(download, largest),
            );
        }
        text.push_str("</tbody>\n</table>\n</details>\n");
    }
    text
}

/// What an update to a release weighs, the least and the most, for whoever does not open it.
fn range(release: &Release) -> String {
    let patches = || release.downloads.iter().flat_map(|download| &download.patches).map(|patch| patch.length);
    let (Some(least), Some(most)) = (patches().min(), patches().max()) else { return String::new() };
    // What is told is what differs: "30.1 KiB to 30.1 KiB" says nothing.
    match (unbroken(least), unbroken(most)) {
        (least, most) if least == most => format!("updates of {least}"),
        (least, most) => format!("updates of {least} to {most}"),
    }
}

fn bars(download: &Download, largest: u64) -> String {
    let mut bars = bar(download.length, largest, "whole", &format!("whole: {}", unbroken(download.length)));
    for patch in &download.patches {
        let label = format!("from {}: {}", escape(&patch.from.to_string()), unbroken(patch.length));
        bars.push_str(&bar(patch.length, largest, "patch", &label));
    }
    bars
}

/// A number and its unit, which stay together.
fn unbroken(bytes: u64) -> String {
    human_bytes(bytes).replace(' ', "&nbsp;")
}

/// A bar of the chart with its words, as HTML, beside it, so that the picture itself needs none.
fn bar(length: u64, largest: u64, class: &str, label: &str) -> String {
    // Thousandths are finer than any screen; a bar of nothing would look like a mistake.
    let width = (length.saturating_mul(1000) / largest).max(4);
    format!(
        "<div class=\"bar\"><svg class=\"{class}\" width=\"100%\" height=\"12\" aria-hidden=\"true\" focusable=\"false\">\
         <rect width=\"{}.{}%\" height=\"12\"/></svg><span>{label}</span></div>",
        width / 10,
        width % 10,
    )
}

fn channel(listed: &Listed, with_name: bool) -> String {
    let mut text = String::new();
    if with_name {
        let _ = writeln!(text, "<h3 id=\"channel-{0}\">Channel {0}</h3>", escape(listed.channel.as_str()));
    }
    let newest = listed.releases.iter().find(|release| release.offer != Offer::Nobody);
    for release in &listed.releases {
        text.push_str(&self::release(listed, release, newest == Some(release)));
    }
    if listed.releases.is_empty() {
        text.push_str("<p>Nothing is listed.</p>");
    }
    text
}

fn release(listed: &Listed, release: &Release, open: bool) -> String {
    let version = escape(&release.version.to_string());
    let mut text = format!(
        "<details id=\"{}-{version}\"{}><summary><strong>{version}</strong>{}{}</summary>\n",
        escape(listed.channel.as_str()),
        if open { " open" } else { "" },
        date(release).map(|date| format!(" <span class=\"detail\">{date}</span>")).unwrap_or_default(),
        match release.offer {
            Offer::Everybody => "",
            Offer::Part => " <span class=\"detail\">not offered to everybody</span>",
            Offer::Nobody => " <span class=\"detail\">withdrawn</span>",
        },
    );
    if let Some(notes) = &release.notes {
        let _ = writeln!(text, "<div class=\"notes\">{notes}</div>");
    }
    text.push_str("<ul class=\"files\">\n");
    for download in &release.downloads {
        let named = Named::of(&download.platform);
        let name = escape(&download.name);
        // Of a withdrawn one it is told what it was, for whoever has it.
        let file = match release.offer {
            Offer::Nobody => name,
            Offer::Everybody | Offer::Part => format!(
                "<a href=\"{}\" download>{name}</a> (<a href=\"{}\">signature</a>)",
                escape(&download.path),
                escape(&download.signature),
            ),
        };
        let _ = writeln!(
            text,
            "<li>{file}<br>\
             <span class=\"detail\">{system}, {processor}{libc} · {size} ({length} bytes)</span><br>\
             <span class=\"detail\">SHA-256 <code>{sha256}</code></span></li>",
            system = escape(&named.system),
            processor = escape(&named.processor),
            libc = download.libc.as_deref().map(|libc| format!(", glibc {}", escape(libc))).unwrap_or_default(),
            size = unbroken(download.length),
            length = download.length,
            sha256 = download.sha256,
        );
    }
    text.push_str("</ul>\n</details>\n");
    text
}

fn date(release: &Release) -> Option<String> {
    let text = release.released?.to_string();
    let day = text.split('T').next().unwrap_or_default().to_owned();
    Some(format!("<time datetime=\"{text}\">{day}</time>"))
}

/// Makes text harmless between tags and in quoted attributes. The escape characters of terminals and marks that turn the
/// direction of writing are shown, not obeyed.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                escaped.push('\u{fffd}');
            }
            c => escaped.push(c),
        }
    }
    escaped
}
