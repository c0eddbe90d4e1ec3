//! Packing and unpacking, ended at any operation: each byte of a day is read once, at its offset.

use proptest::prelude::*;

use super::super::faulty::Fault;
use super::super::pack::PackError;
use super::*;
use crate::test_support::random::cases;

const DAY: &str = "2025-06-09";

/// A day and what it has to hold.
struct Model {
    catalog: Catalog,
    content: Vec<u8>,
    /// How many lines were appended.
    lines: usize,
}

impl Model {
    fn new() -> Self {
        Self {
            catalog: Catalog::with_state_folder().through_its_disk(),
            content: Vec::new(),
            lines: 0,
        }
    }

    fn packer(&self) -> Packer {
        Packer::under(Lock::acquire(&self.catalog.location, now()).unwrap())
    }

    fn finish(&self, packer: &Packer) -> Result<(), PackError> {
        packer.finish(&self.catalog.location.listing()?)
    }

    /// Appends lines on a disk that works, as a run does.
    fn append(&mut self, lines: usize) {
        self.catalog.disk.restart();
        self.finish(&self.packer()).unwrap();
        let path = self.catalog.path(DAY);
        let text: String = (0..lines).map(|n| format!("line {}\n", self.lines + n)).collect();
        let mut appender = DurableAppender::new(Arc::clone(self.catalog.location.storage()));
        appender.append(&path, 0o640, [text.clone()]).unwrap();
        self.lines += lines;
        self.content.extend(text.as_bytes());
    }

    fn pack(&self) -> Result<(), PackError> {
        let packer = self.packer();
        self.finish(&packer)?;
        let (listing, date) = (self.catalog.location.listing()?, DAY.parse().unwrap());
        match listing.days.get(date) {
            Some(plain) => packer.pack(&plain, listing.packed.get(&date)).map(drop),
            None => Ok(()),
        }
    }

    fn unpack(&self) -> Result<(), PackError> {
        let packer = self.packer();
        self.finish(&packer)?;
        let (listing, date) = (self.catalog.location.listing()?, DAY.parse().unwrap());
        match listing.packed.get(&date) {
            Some(packed) => packer.unpack(packed, listing.days.get(date).as_ref()).map(drop),
            None => Ok(()),
        }
    }

    /// Starts again after a kill, or after a power cut of which this share of what was not synced is left.
    fn restart(&self, left: Option<u8>) {
        self.catalog.disk.restart();
        if let Some(left) = left {
            self.catalog.disk.cut_power(self.catalog.folder(), left);
        }
    }

    /// Checks that the files that are read hold what the day has to hold, and that a position leads to its line.
    fn check(&self, when: &str) {
        let listing = self.catalog.location.listing().unwrap();
        let date = DAY.parse().unwrap();
        let mut content = Vec::new();
        content_of(&listing, date, &mut content).unwrap();
        assert!(
            content == self.content,
            "{when}: {} of {}",
            content.len(),
            self.content.len()
        );
        let mut counter = LineCounter::of(&self.catalog.location);
        let parts = listing.parts_of(date, &mut counter).unwrap();
        let files = parts.packed.iter().chain(&parts.plain);
        let lines: u64 = files.map(|file| counter.count(file).unwrap().lines).sum();
        assert_eq!(lines, self.lines as u64, "{when}");
        if let Some(packed) = parts.packed.filter(|_| !self.content.is_empty()) {
            let end = counter.end_of_lines(&packed).unwrap();
            let line = packed.line_before(end, 100).unwrap().unwrap();
            assert!(self.content[..end as usize].ends_with(&line), "{when}");
        }
    }
}

/// Does something, ended at each of its operations, and checks the day then, when it has gone on, and at the end.
fn killed_at_each(prepare: impl Fn(&mut Model), act: impl Fn(&Model) -> Result<(), PackError>) {
    for left in [None, Some(0), Some(255)] {
        for operation in 0.. {
            let mut model = Model::new();
            prepare(&mut model);
            model.catalog.disk.arm(operation, Fault::Killed(operation as usize * 7));
            let outcome = act(&model);
            model.restart(left);
            let when = format!("ended at {operation}, left {left:?}");
            model.check(&when);
            if outcome.is_ok() {
                assert!(operation > 8, "there are more operations than this");
                break;
            }
            model.append(2);
            model.check(&format!("{when}, then late"));
            model.restart(Some(0));
            model.check(&format!("{when}, then late and a power cut"));
            model.pack().unwrap();
            model.check(&format!("{when}, then packed"));
            let plain = model.catalog.path(DAY);
            assert!(!plain.exists(), "{when}");
            model.unpack().unwrap();
            model.check(&format!("{when}, then unpacked"));
            assert!(fs::read(&plain).unwrap() == model.content, "{when}");
        }
    }
}

#[test]
fn nothing_is_added_to_what_an_interrupted_packing_has_left() {
    let catalog = Catalog::with_state_folder().through_its_disk();
    catalog.write_packed_by_us(DAY, &["one\n", "two\n"]);
    catalog.write(DAY, "two\n");
    let operations = 0..;
    let failed = operations.map(|operation| {
        catalog.disk.restart();
        let lock = Lock::acquire(&catalog.location, now()).unwrap();
        catalog.disk.arm(operation, Fault::Broken(0));
        let opened = Archive::open(lock, SHAPE, 0o640, now()).map(drop);
        assert!(opened.is_err() || !catalog.path(DAY).exists(), "{operation}");
        opened.is_err()
    });
    assert!(
        failed.take_while(|failed| *failed).count() > 0,
        "it could not be removed once"
    );
    assert!(!catalog.path(DAY).exists());
}

#[test]
fn packing_that_is_ended_at_any_operation_loses_and_doubles_nothing() {
    killed_at_each(|model| model.append(5), Model::pack);
}

#[test]
fn joining_late_lines_that_is_ended_at_any_operation_loses_and_doubles_nothing() {
    let late = |model: &mut Model| {
        model.append(5);
        model.pack().unwrap();
        model.append(3);
    };
    killed_at_each(late, Model::pack);
    killed_at_each(late, Model::unpack);
}

#[test]
fn unpacking_that_is_ended_at_any_operation_loses_and_doubles_nothing() {
    let packed = |model: &mut Model| {
        model.append(5);
        model.pack().unwrap();
    };
    killed_at_each(packed, Model::unpack);
}

#[test]
fn what_a_kill_has_left_unfinished_is_removed_by_the_next() {
    let mut model = Model::new();
    model.append(3);
    model.pack().unwrap();
    let folder = model.catalog.folder().join("packed");
    let name = |suffix: &str| folder.join(format!("mail_{DAY}.log{suffix}.unfinished"));
    for suffix in ["", ".zst"] {
        fs::write(name(suffix), "half").unwrap();
    }
    fs::write(folder.join("notes.unfinished"), "of somebody else").unwrap();
    model.append(1);
    assert!(!name("").exists() && !name(".zst").exists());
    assert!(folder.join("notes.unfinished").exists());
    model.check("afterwards");
}

#[test]
fn a_write_that_fails_is_told_as_one() {
    let mut told = 0;
    for operation in 0..12 {
        let mut model = Model::new();
        model.append(3);
        model.catalog.disk.arm(operation, Fault::Full(1));
        if let Err(PackError::File(FileError::Io { doing, cause, .. })) = model.pack()
            && cause.kind() == std::io::ErrorKind::StorageFull
        {
            assert_ne!(doing, "read", "{cause}");
            told += u64::from(doing == "write to");
        }
    }
    assert!(told > 0);
}

#[cfg(unix)]
#[test]
fn what_is_packed_and_its_folder_are_as_open_as_what_they_stand_for_and_of_the_same_owner() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    let mut model = Model::new();
    model.append(3);
    let (catalog, plain) = (model.catalog.folder().to_owned(), model.catalog.path(DAY));
    fs::set_permissions(&catalog, fs::Permissions::from_mode(0o755)).unwrap();
    // Only root can give files away.
    let _ = chown(&catalog, Some(1234), Some(1235));
    let _ = chown(&plain, Some(1236), Some(1237));
    let look = |path: &std::path::Path| {
        let found = fs::metadata(path).unwrap();
        (found.mode() & 0o777, found.uid(), found.gid())
    };
    let (of_catalog, of_plain) = (look(&catalog), look(&plain));
    model.pack().unwrap();
    assert_eq!(look(&catalog.join("packed")), of_catalog);
    assert_eq!(look(&catalog.join(format!("packed/mail_{DAY}.log.zst"))), of_plain);
    model.unpack().unwrap();
    assert_eq!(look(&plain), of_plain);
}

#[test]
fn what_somebody_has_begun_to_unpack_beside_the_packed_file_is_not_doubled() {
    let mut model = Model::new();
    model.append(4);
    model.pack().unwrap();
    let beginning = model.content[..model.content.len() - 9].to_vec();
    fs::write(model.catalog.path(DAY), beginning).unwrap();
    model.check("beside it");
    model.append(2);
    model.check("then late");
    model.pack().unwrap();
    model.check("then packed");
}

#[test]
fn a_torn_line_is_left_plain() {
    let model = Model::new();
    model.catalog.write(DAY, "{\"id\": 1}\n{\"id\"");
    let error = model.pack().unwrap_err().to_string();
    assert!(error.contains("ends in a part of a line"), "{error}");
    assert_eq!(model.catalog.text(DAY), "{\"id\": 1}\n{\"id\"");
    let left: Vec<_> = fs::read_dir(model.catalog.folder().join("packed")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_record_that_is_packed_is_a_duplicate_and_a_late_one_is_filed_behind_it() {
    let catalog = Catalog::with_state_folder();
    let [one, late] = ["one", "late"].map(|id| record(id, "2025-06-09T10:00:00Z"));
    file(&mut catalog.open(), vec![one.clone()]);
    let listing = catalog.location.listing().unwrap();
    let packer = Packer::under(Lock::acquire(&catalog.location, now()).unwrap());
    packer
        .pack(&listing.days.get(DAY.parse().unwrap()).unwrap(), None)
        .unwrap();
    let appended = file(&mut catalog.open(), vec![one, late]);
    assert_eq!(appended.records, 1);
    assert_eq!(catalog.text(DAY).lines().count(), 1);
}

#[derive(Clone, Debug)]
enum Op {
    Append(usize),
    Pack,
    Unpack,
    Arm(u64, Fault),
    PowerCut(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let bytes = || 0usize..200;
    let fault = prop_oneof![
        bytes().prop_map(Fault::Short),
        Just(Fault::Interrupted),
        bytes().prop_map(Fault::Full),
        bytes().prop_map(Fault::Broken),
        bytes().prop_map(Fault::Killed),
    ];
    prop_oneof![
        2 => (1usize..9).prop_map(Op::Append),
        3 => Just(Op::Pack),
        2 => Just(Op::Unpack),
        3 => (0u64..14, fault).prop_map(|(after, fault)| Op::Arm(after, fault)),
        1 => prop_oneof![Just(0), Just(255), any::<u8>()].prop_map(Op::PowerCut),
    ]
}

/// What happens to a day, on a disk that works.
#[derive(Clone, Copy, Debug)]
enum Move {
    Append,
    Pack,
    Unpack,
}

fn moves(most: usize) -> impl Strategy<Value = Vec<Move>> {
    prop::collection::vec(
        prop_oneof![Just(Move::Append), Just(Move::Pack), Just(Move::Unpack)],
        0..most,
    )
}

impl Model {
    fn make(&mut self, moves: &[Move]) {
        for step in moves {
            match step {
                Move::Append => self.append(3),
                Move::Pack => self.pack().unwrap(),
                Move::Unpack => self.unpack().unwrap(),
            }
        }
    }
}

/// The files of the day that are read, in their order.
fn files(listing: &Listing) -> Vec<DayFile> {
    let date = DAY.parse().unwrap();
    let files = listing.packed.get(&date).cloned().into_iter();
    files.chain(listing.days.get(date)).collect()
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn what_was_listed_is_read_once_whatever_form_the_day_takes_since(
        before in moves(6), since in moves(6), length in 1u64..60
    ) {
        let mut model = Model::new();
        model.append(2);
        model.make(&before);
        let files = files(&model.catalog.location.listing().unwrap());
        let divide = |file: &DayFile| {
            let (stamp, end) = file.extent(|_| true).unwrap();
            Piece::of_length(file, stamp, end, length)
        };
        let pieces: Vec<_> = files.iter().flat_map(divide).collect();
        let then = model.content.clone();
        model.make(&since);
        let (mut buffer, mut read) = (Vec::new(), Vec::new());
        for piece in pieces {
            let take = |lines: PieceLines<'_>| {
                if let PieceLines::Lines { bytes, .. } = lines {
                    read.extend_from_slice(bytes);
                }
                std::ops::ControlFlow::Continue(())
            };
            if let Err(error) = piece.read(&mut buffer, take) {
                // One that was packed and unpacked is not known from one that somebody has put in its place.
                let is_packed_and_unpacked = since.iter().filter(|step| !matches!(step, Move::Append)).count() > 1;
                prop_assert!(error.to_string().contains("another file has taken its place"), "{}", error);
                prop_assert!(is_packed_and_unpacked, "{}", error);
                return Ok(());
            }
        }
        // What came later may have been joined to it.
        prop_assert!(read.starts_with(&then) && model.content.starts_with(&read), "{}", String::from_utf8_lossy(&read));
        for file in files {
            let mut content = Vec::new();
            match file.open() {
                Err(error) => prop_assert!(error.is_missing(), "{}", error),
                Ok(mut open) => {
                    std::io::Read::read_to_end(&mut open, &mut content).unwrap();
                    prop_assert!(model.content[file.base() as usize..].starts_with(&content));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn no_sequence_of_appending_packing_unpacking_and_faults_loses_or_doubles_a_line(
        ops in prop::collection::vec(op(), 1..25)
    ) {
        let mut model = Model::new();
        for op in ops {
            match op {
                Op::Append(lines) => model.append(lines),
                Op::Pack => drop(model.pack()),
                Op::Unpack => drop(model.unpack()),
                Op::Arm(after, fault) => {
                    model.catalog.disk.arm(after, fault);
                    continue;
                }
                Op::PowerCut(left) => model.restart(Some(left)),
            }
            // Whoever reads is another process.
            model.catalog.disk.restart();
            model.check("after an operation");
        }
    }
}
