//! Progress bars, on a terminal only; plain lines elsewhere.

use crate::repository::FileProgress;
use crate::shell::Shell;
use crate::storage::Created;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The progress of one piece of work in bytes. Does nothing where nobody would see it.
#[derive(Debug)]
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// Starts a bar over `total` bytes. `verb` stands where the status lines have theirs.
    #[must_use]
    pub fn bytes(shell: &Shell, verb: &'static str, total: u64) -> Self {
        if !shell.shows_progress() {
            return Self(None);
        }
        let bar = bar(total, NAMED, "finishing");
        bar.set_prefix(verb);
        // Time goes on where nothing else does.
        bar.enable_steady_tick(TICK);
        Self(Some(bar))
    }

    /// Names what is being worked on.
    pub fn name(&self, what: impl Into<String>) {
        if let Some(bar) = &self.0 {
            bar.set_message(what.into());
        }
    }

    /// Counts what is read from a reader.
    pub fn over<R: std::io::Read>(&self, inner: R) -> Counted<'_, R> {
        Counted { inner, progress: self }
    }

    /// Counts bytes that are done.
    pub fn add(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }

    /// Sets how many bytes are done.
    pub fn set(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(bytes);
        }
    }
}

/// Waits; on a terminal the seconds that are left are counted down.
pub fn wait(shell: &Shell, verb: &'static str, time: Duration) {
    let bar = shell.shows_progress().then(|| ProgressBar::new(time.as_secs()));
    let begun = Instant::now();
    if let Some(bar) = &bar {
        if let Ok(style) = ProgressStyle::with_template(WAITING) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(verb);
    }
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        if let Some(bar) = &bar {
            bar.set_position(begun.elapsed().as_secs());
            bar.set_message(format!("{} s left", left.as_secs() + 1));
        }
        std::thread::sleep(left.min(SECOND));
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// Moves a bar along with what is read.
#[derive(Debug)]
pub struct Counted<'a, R> {
    inner: R,
    progress: &'a Progress,
}

impl<R: std::io::Read> std::io::Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.progress.add(n as u64);
        Ok(n)
    }
}

impl Drop for Progress {
    /// Wipes the bar: the status line that follows says what was done.
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// The progress of several files at once: a bar for each that is on its way, and one for all of them. Where nobody sees
/// bars, a line for each file that is there.
#[derive(Debug)]
pub struct Uploads<'a> {
    shell: &'a Shell,
    bars: Option<Bars>,
    files: BTreeMap<String, File>,
}

#[derive(Debug)]
struct Bars {
    group: MultiProgress,
    overall: ProgressBar,
}

#[derive(Debug)]
struct File {
    length: u64,
    sent: u64,
    bar: Option<ProgressBar>,
}

impl<'a> Uploads<'a> {
    /// Starts with the names and lengths of all files.
    #[must_use]
    pub fn new(shell: &'a Shell, files: &[(String, u64)]) -> Self {
        let bars = shell.shows_progress().then(|| {
            let group = MultiProgress::new();
            let total = files.iter().map(|(_, length)| length).sum();
            let overall = group.add(bar(total, OVERALL, READ_BACK));
            overall.set_prefix("Uploading");
            overall.enable_steady_tick(TICK);
            Bars { group, overall }
        });
        let file = |(name, length): &(String, u64)| (name.clone(), File { length: *length, sent: 0, bar: None });
        Self { shell, bars, files: files.iter().map(file).collect() }
    }

    /// Tells what becomes of a file.
    pub fn sent(&mut self, name: &str, what: FileProgress) {
        let Some(file) = self.files.get_mut(name) else { return };
        if let (Some(bars), None) = (&self.bars, &file.bar) {
            let new = bars.group.insert_before(&bars.overall, bar(file.length, ONE, READ_BACK));
            // Without the digest: the end of the line is what tells files apart.
            new.set_message(name.split_once('.').map_or(name, |(_, name)| name).to_owned());
            file.bar = Some(new);
        }
        let before = file.sent;
        match what {
            FileProgress::Further(bytes) => file.sent = file.sent.saturating_add_signed(bytes).min(file.length),
            FileProgress::Again => file.sent = 0,
            FileProgress::Done(_) => file.sent = file.length,
        }
        match (&self.bars, &file.bar) {
            (Some(bars), Some(bar)) => {
                bar.set_position(file.sent);
                bars.overall.set_position((bars.overall.position() + file.sent).saturating_sub(before));
                if matches!(what, FileProgress::Done(_)) {
                    bar.finish_and_clear();
                }
            }
            _ => match what {
                FileProgress::Done(Created::New) => self.shell.status("Uploaded", name),
                FileProgress::Done(Created::Exists) => self.shell.status("Found", name),
                FileProgress::Again => self.shell.status("Retrying", name),
                FileProgress::Further(_) => {}
            },
        }
    }
}

impl Drop for Uploads<'_> {
    /// Wipes the bars: the status line that follows says what was done.
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            self.files.values().filter_map(|file| file.bar.as_ref()).for_each(ProgressBar::finish_and_clear);
            bars.overall.finish_and_clear();
        }
    }
}

/// Makes a bar. `end` says what happens while all of it is done and something is still to come.
fn bar(length: u64, template: &str, end: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        // Both over the whole time: work in large blocks stands still between two of them, and an average of the last
        // seconds would promise hours then.
        let rate = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&pace(state.pos(), state.len().unwrap_or(0), state.elapsed(), end));
        };
        let left = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&time_left(state.pos(), state.len().unwrap_or(0), state.elapsed()));
        };
        bar.set_style(style.progress_chars("=> ").with_key("rate", rate).with_key("left", left));
    }
    bar
}

/// Bytes, rate, time left, and as much of the name as there is room for: 80 columns hold the rest.
const NAMED: &str = "{prefix:>12.cyan.bold} [{bar:16}] {bytes:>10}/{total_bytes} {rate}{left}  {wide_msg}";
const OVERALL: &str = "{prefix:>12.cyan.bold} [{bar:16}] {bytes:>10}/{total_bytes} {rate}{left}";
const WAITING: &str = "{prefix:>12.cyan.bold} [{bar:16}] {msg}";
/// How often the time that is left is told.
const SECOND: Duration = Duration::from_secs(1);
const ONE: &str = "             [{bar:16}] {bytes:>10}/{total_bytes} {wide_msg}";
/// What follows when a file was sent ([`crate::storage::Storage::put_file`]).
const READ_BACK: &str = "reading back";
/// How often a bar is drawn when nothing happens.
const TICK: Duration = Duration::from_millis(250);

/// Writes how fast something goes, over the whole time; how long it is under way while nothing is done. What has taken
/// everything in has not given everything out yet, or the bar would be gone.
fn pace(done: u64, total: u64, elapsed: Duration, end: &str) -> String {
    match done {
        0 => format!("for {} s", elapsed.as_secs()),
        done if done >= total => end.to_owned(),
        done => format!("{}/s", human_bytes((done as f64 / elapsed.as_secs_f64().max(0.001)) as u64)),
    }
}

/// Writes how long the rest takes at that pace; nothing while that would be a guess from the first bytes.
fn time_left(done: u64, total: u64, elapsed: Duration) -> String {
    if done >= total {
        return String::new();
    }
    if done == 0 || (done < total / 50 && elapsed < FIRST_GUESS) {
        return String::new();
    }
    let seconds = elapsed.as_secs_f64() * total.saturating_sub(done) as f64 / done as f64;
    match seconds.ceil() as u64 {
        seconds @ ..100 => format!(", {seconds} s left"),
        seconds @ ..6000 => format!(", {} min left", seconds.div_ceil(60)),
        seconds => format!(", {} h left", seconds.div_ceil(3600)),
    }
}

/// How long nothing is said of the time that is left while less than a fiftieth is done.
const FIRST_GUESS: Duration = Duration::from_secs(10);

/// Writes a number of bytes for people: `999 B`, `1.5 KiB`, `9.1 MiB`.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut value = bytes as f64;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

/// Writes a number of things for people: `1 file`, `3 files`.
#[must_use]
pub fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_for_people() {
        assert_eq!([counted(0, "file"), counted(1, "file"), counted(2, "file")], ["0 files", "1 file", "2 files"]);
    }

    #[test]
    fn without_a_terminal_there_is_a_line_for_each_file() {
        let shell = Shell::captured(crate::shell::MessageFormat::Human);
        let mut uploads = Uploads::new(&shell, &[("0a.x".to_owned(), 10), ("0b.y".to_owned(), 5)]);
        for (name, what) in [
            ("0a.x", FileProgress::Further(6)),
            ("0b.y", FileProgress::Done(Created::Exists)),
            ("0a.x", FileProgress::Again),
            ("0a.x", FileProgress::Further(10)),
            ("0a.x", FileProgress::Done(Created::New)),
        ] {
            uploads.sent(name, what);
        }
        drop(uploads);
        assert_eq!(shell.output().0, "       Found 0b.y\n    Retrying 0a.x\n    Uploaded 0a.x\n");
    }

    #[test]
    fn bars_count_what_is_sent_again_once() {
        let shell = Shell::captured(crate::shell::MessageFormat::Human);
        let mut uploads = Uploads::new(&shell, &[("0a.x".to_owned(), 10), ("0b.y".to_owned(), 5)]);
        let (group, overall) =
            (MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden()), bar(15, OVERALL, READ_BACK));
        uploads.bars = Some(Bars { overall: group.add(overall), group });
        for (name, what, position) in [
            ("0a.x", FileProgress::Further(6), 6),
            ("0a.x", FileProgress::Further(-4), 2),
            ("0a.x", FileProgress::Again, 0),
            ("0b.y", FileProgress::Done(Created::Exists), 5),
            ("0a.x", FileProgress::Further(12), 15),
            ("0a.x", FileProgress::Done(Created::New), 15),
        ] {
            uploads.sent(name, what);
            assert_eq!(uploads.bars.as_ref().unwrap().overall.position(), position, "{name} {what:?}");
        }
    }

    #[test]
    fn pace_and_rest_are_those_of_the_whole_time() {
        let seconds = Duration::from_secs;
        assert_eq!(pace(10 << 20, 11 << 20, seconds(5), "finishing"), "2.0 MiB/s");
        assert_eq!(pace(0, 10, seconds(70), "finishing"), "for 70 s");
        assert_eq!(pace(10, 10, seconds(70), "finishing"), "finishing");
        for (done, total, elapsed, text) in [
            (0, 100, 9, ""),
            (50, 100, 10, ", 10 s left"),
            // A block that takes a minute does not make hours of it.
            (50, 100, 70, ", 70 s left"),
            (10, 100, 60, ", 9 min left"),
            (1, 100, 600, ", 17 h left"),
            (1, 100, 9, ""),
            (2, 100, 9, ", 8 min left"),
            (100, 100, 5, ""),
        ] {
            assert_eq!(time_left(done, total, seconds(elapsed)), text);
        }
    }

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (9_542_042, "9.1 MiB")] {
            assert_eq!(human_bytes(bytes), text);
        }
    }
}
