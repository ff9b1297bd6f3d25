//! A small form of the benchmark `scale`: the next publish costs the same with 8 releases there as with 40.
#![cfg(target_os = "linux")]

use std::path::Path;
use updater_tests::scale::history::History;
use updater_tests::scale::measure;

#[test]
fn the_next_publish_asks_for_as_much_after_40_releases_as_after_8() {
    let program = Path::new(env!("CARGO_BIN_EXE_scale"));
    let mut history = History::new(&["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"], program).unwrap();
    let few = measure(&mut history, 8, program).unwrap();
    let many = measure(&mut history, 40, program).unwrap();
    let (one, other) = (&few.publish.traffic, &many.publish.traffic);
    let counted = |row: &updater_tests::scale::Row| {
        let traffic = &row.publish.traffic;
        (traffic.gets, traffic.heads, traffic.puts, traffic.objects_read.len(), traffic.objects_written.len())
    };
    assert!(many.publish.objects > few.publish.objects * 3, "{} objects are no history", many.publish.objects);
    assert_eq!(counted(&few), counted(&many), "{one:?}\n{other:?}");
    assert_eq!(one.others, 1, "a publish lists nothing; the object at which it has let requests meet is removed again");
    // Numbers in names and documents get longer, and times differ.
    let near = |few: u64, many: u64| few.abs_diff(many) < 512;
    assert!(
        near(one.metadata, other.metadata) && near(few.check.first.read, many.check.first.read),
        "{few:?}\n{many:?}"
    );
    assert_eq!((few.check.first.requests(), many.check.first.requests()), (5, 5));
    assert_eq!((few.check.again.requests(), many.check.again.requests()), (2, 2));
    assert!(many.check.again.read < 1024, "{many:?}");
}
