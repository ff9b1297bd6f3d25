//! The files of a site that is made up, with everything in it that could go wrong in HTML, XML or a shell.

use super::*;
use updater_format::{InstallKind, Sha256, UtcTime};

fn download(platform: &str, length: u64, patches: &[(&str, u64)]) -> Download {
    let name = format!("hello-2.0.0-{platform}.tar.xz");
    let sha256 = Sha256::of(platform.as_bytes());
    Download {
        platform: platform.parse().unwrap(),
        path: format!("targets/{sha256}.{name}"),
        signature: format!("targets/{sha256}.{name}.minisig"),
        name,
        length,
        sha256,
        kind: InstallKind::Executable,
        libc: platform.ends_with("gnu").then(|| "2.31".to_owned()),
        patches: patches
            .iter()
            .map(|(from, length)| PatchSize { from: from.parse().unwrap(), length: *length })
            .collect(),
    }
}

fn site() -> Site {
    let release = |version: &str, offer| Release {
        version: version.parse().unwrap(),
        released: Some(UtcTime::from_unix(1_790_000_000)),
        offer,
        notes: Some(notes::to_html("Faster & <b>smaller</b>")),
        downloads: vec![
            download("aarch64-apple-darwin", 1_000_000, &[]),
            download("x86_64-pc-windows-msvc", 3_000_000, &[("1.9.0", 100_000)]),
            download("x86_64-unknown-linux-gnu", 2_000_000, &[("1.9.0", 50_000), ("1.8.0", 700)]),
        ],
    };
    Site {
        app: "hello".parse().unwrap(),
        description: Some("Says \"hello\" & <more>".to_owned()),
        homepage: Some("https://example.com/\"x".to_owned()),
        url: "https://example.com/updates".to_owned(),
        files: None,
        channels: vec![Listed {
            channel: updater_format::Channel::stable(),
            keys: vec!["RWRa0ip38kSaMpz1ih/xhXBDzxo9cSdI0NisdMP5QQDuTuE8ConkeOj/".to_owned()],
            expires: UtcTime::from_unix(1_800_000_000),
            releases: vec![release("2.1.0", Offer::Part), release("2.0.0", Offer::Everybody)],
        }],
    }
}

fn file(site: &Site, path: &str) -> String {
    let files = render(site, &Templates::default()).unwrap();
    files.into_iter().find(|file| file.path == path).unwrap().text
}

#[test]
fn the_newest_release_for_everybody_is_offered() {
    let page = file(&site(), INDEX);
    assert!(page.contains("Version <strong>2.0.0</strong>"), "{page}");
    assert!(page.contains("<strong>2.1.0</strong> <span class=\"detail\"><time"), "{page}");
    assert!(page.contains("not offered to everybody"), "{page}");
    for system in ["data-system=\"macos\"", "data-system=\"windows\"", "data-system=\"linux\""] {
        assert_eq!(page.matches(system).count(), 1, "{system}");
    }
    assert!(page.contains("irm https://example.com/updates/install.ps1 | iex"), "{page}");
}

#[test]
fn nothing_breaks_out_of_the_page() {
    let page = file(&site(), INDEX);
    assert!(page.contains("Says &quot;hello&quot; &amp; &lt;more&gt;"), "{page}");
    assert!(page.contains("href=\"https://example.com/&quot;x\""), "{page}");
    assert!(!page.contains("<b>"), "{page}");
    assert_eq!(html::escape("a\u{1b}[31m\u{202e}'"), "a\u{fffd}[31m\u{fffd}&#39;");
}

#[test]
fn a_withdrawn_release_is_told_as_such_and_has_no_download() {
    let mut site = site();
    site.channels[0].releases[0].offer = Offer::Nobody;
    let page = file(&site, INDEX);
    let (_, listed) = page.split_once("<details id=\"stable-2.1.0\">").unwrap();
    let (withdrawn, _) = listed.split_once("</details>").unwrap();
    assert!(withdrawn.contains("<span class=\"detail\">withdrawn</span>"), "{withdrawn}");
    assert!(!withdrawn.contains("href=") && withdrawn.contains("SHA-256"), "{withdrawn}");
    // The chart is of updates that somebody gets, and the newest of these is open.
    assert!(page.contains("<details open><summary><strong>2.0.0</strong>"), "{page}");
    assert!(page.contains("<details id=\"stable-2.0.0\" open>"), "{page}");
    assert_eq!(page.matches("<strong>2.1.0</strong>").count(), 1, "{page}");
    assert_eq!(file(&site, FEED).matches("<entry>").count(), 1);
}

#[test]
fn without_a_release_the_page_says_so() {
    let mut site = site();
    site.channels[0].releases.truncate(1);
    assert!(file(&site, INDEX).contains("No release is offered to everybody"));
    site.channels.clear();
    assert!(file(&site, INDEX).contains("No release is offered to everybody"));
    assert!(file(&site, FEED).contains("<updated>1970-01-01T00:00:00Z</updated>"));
}

#[test]
fn the_bars_show_the_sizes() {
    let page = file(&site(), INDEX);
    // 50,000 of 3,000,000 are 1.6 %.
    assert!(page.contains("width=\"1.6%\" height=\"12\"/></svg><span>from 1.9.0: 48.8&nbsp;KiB"), "{page}");
    assert!(page.contains("width=\"0.4%\" height=\"12\"/></svg><span>from 1.8.0: 700&nbsp;B"), "{page}");
}

#[test]
fn the_feed_has_a_release_once_it_is_for_everybody() {
    let feed = file(&site(), FEED);
    assert_eq!(feed.matches("<entry>").count(), 1, "{feed}");
    assert!(feed.contains("<id>https://example.com/updates/#stable-2.0.0</id>"), "{feed}");
    assert!(feed.contains("&lt;p&gt;Faster &amp;amp; &amp;lt;b&amp;gt;smaller"), "{feed}");
}

#[test]
fn the_scripts_know_the_keys_and_the_address() {
    let script = file(&site(), INSTALL_SH);
    assert!(
        script.contains("    stable) echo 'RWRa0ip38kSaMpz1ih/xhXBDzxo9cSdI0NisdMP5QQDuTuE8ConkeOj/' ;;"),
        "{script}"
    );
    assert!(script.contains("url='https://example.com/updates'\n"), "{script}");
    let mut hostile = site();
    hostile.url = "https://example.com/';rm -rf ~;'".to_owned();
    assert!(file(&hostile, INSTALL_SH).contains("url=''\n"));
    let script = file(&site(), INSTALL_PS1);
    assert!(
        script.contains("    'stable' = @('RWRa0ip38kSaMpz1ih/xhXBDzxo9cSdI0NisdMP5QQDuTuE8ConkeOj/')"),
        "{script}"
    );
    for text in [file(&site(), INSTALL_SH), file(&site(), INSTALL_PS1), file(&site(), INDEX)] {
        assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
    }
}
