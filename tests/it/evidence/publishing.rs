//! The log as static files: other people's code reads it from there.

use std::collections::BTreeMap;

use super::forger::checkpoint;
use super::*;
use tlog_tiles::{
    Hash, HashReader, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree,
};

/// What a web server would serve.
struct Served(PathBuf);

impl TileReader for Served {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let path = |tile: &Tile| self.0.join(tile.path().replacen("tile/8/", "tile/", 1));
        Ok(tiles.iter().map(|tile| fs::read(path(tile)).unwrap()).collect())
    }

    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

fn publish(catalog: &Catalog, code: i32, to: &str) -> Value {
    let run = catalog.run(&["evidence", "publish", "--json", "--to", to]);
    assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

fn read_checkpoint(catalog: &Catalog, to: &str) -> (u64, Hash) {
    let policy = fs::read_to_string(folder(catalog).join("policy.txt")).unwrap();
    let vkey = policy.lines().find_map(|line| line.strip_prefix("log ")).unwrap();
    let note = fs::read(catalog.root().join(to).join("checkpoint")).unwrap();
    let (origin, size, root) = checkpoint(&note, vkey);
    assert_eq!(origin, ORIGIN);
    (size, root)
}

/// Every file that is published, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| (entry.path().to_owned(), fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn the_code_of_others_finds_every_entry_and_that_the_log_has_only_grown() {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &Api::ALL);
    let first = publish(&catalog, 0, "published");
    let before = files(&catalog.root().join("published"));
    assert_eq!(first["written"], before.len());
    let (old_size, old_root) = read_checkpoint(&catalog, "published");
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "new")]);
    catalog.collect(0, &[]);
    seal(&catalog, 0);
    publish(&catalog, 0, "published");
    let after = files(&catalog.root().join("published"));
    for (path, bytes) in &before {
        assert!(
            after[path] == *bytes || path.ends_with("checkpoint"),
            "{}",
            path.display()
        );
    }
    let (size, root) = read_checkpoint(&catalog, "published");
    assert!(size > old_size && old_size > 10, "{old_size}, {size}");
    let served = Served(catalog.root().join("published"));
    let reader = TileHashReader::new(size, root, &served);
    let proof = prove_tree(size, old_size, &reader).unwrap();
    check_tree(&proof, size, root, old_size, old_root).unwrap();
    let bundle = fs::read(served.0.join(format!("tile/entries/000.p/{size}"))).unwrap();
    let mut rest = &bundle[..];
    for (number, entry) in fs::read_to_string(folder(&catalog).join("entries.jsonl"))
        .unwrap()
        .lines()
        .enumerate()
    {
        let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        assert_eq!(&rest[2..2 + length], entry.as_bytes());
        rest = &rest[2 + length..];
        let hash = tlog_tiles::record_hash(entry.as_bytes());
        assert_eq!(
            reader
                .read_hashes(&[tlog_tiles::stored_hash_index(0, number as u64)])
                .unwrap(),
            [hash]
        );
        let proof = prove_record(size, number as u64, &reader).unwrap();
        check_record(&proof, size, root, number as u64, hash).unwrap();
    }
    assert!(rest.is_empty());
    // Nothing is new, and nothing is written.
    assert_eq!(publish(&catalog, 0, "published")["written"], 0);
}

#[test]
fn another_history_and_a_log_that_was_changed_are_not_published() {
    let sandbox = daily(3);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    publish(&catalog, 0, "published");
    let published = files(&catalog.root().join("published"));
    // A backup was restored, and the log went on in another way.
    let other = sealed(&sandbox, &[Api::Tfc]);
    let to = catalog.root().join("published");
    let refused = publish(&other, 3, to.to_str().unwrap());
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("holds another log, or another history"),
        "{refused}"
    );
    let tile = catalog
        .root()
        .join(format!("published/tile/0/000.p/{}", entries(&catalog).len()));
    let hashes = fs::read(&tile).unwrap();
    fs::write(&tile, "other").unwrap();
    publish(&catalog, 3, "published");
    fs::write(&tile, hashes).unwrap();
    let log = folder(&catalog).join("entries.jsonl");
    edit(&log, |text| text.replacen("\"lines\":3", "\"lines\":4", 1));
    let refused = publish(&catalog, 3, "published");
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("is not as it was signed"),
        "{refused}"
    );
    assert!(files(&catalog.root().join("published")) == published);
    let inside = folder(&catalog);
    edit(&log, |text| text.replacen("\"lines\":4", "\"lines\":3", 1));
    publish(&catalog, 1, inside.to_str().unwrap());
}
