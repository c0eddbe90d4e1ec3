//! Tiles (C2SP `tlog-tiles`): a tree and its entries as files that never change, so that others fetch what they need of a log.

use super::tree::{Hash, root};

/// How many hashes, or entries, a whole tile has.
const WIDTH: usize = 256;

/// Returns the tiles of a tree: their paths below the folder of the log, and what they hold.
pub(super) fn hash_tiles(leaves: &[Hash]) -> Vec<(String, Vec<u8>)> {
    let (mut tiles, mut hashes) = (Vec::new(), leaves.to_vec());
    for level in 0_u8.. {
        if hashes.is_empty() {
            break;
        }
        for (number, tile) in hashes.chunks(WIDTH).enumerate() {
            let bytes = tile.iter().flat_map(|hash| hash.0).collect();
            tiles.push((path(&level.to_string(), number, tile.len()), bytes));
        }
        // What is not whole yet is in no tile above.
        hashes = hashes.chunks_exact(WIDTH).map(root).collect();
    }
    tiles
}

/// Returns the paths of the tiles of all leaves of a tree, and how many each has.
pub(super) fn leaf_tiles(size: u64) -> impl Iterator<Item = (String, usize)> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    (0..size.div_ceil(WIDTH)).map(move |number| {
        let width = WIDTH.min(size - number * WIDTH);
        (path("0", number, width), width)
    })
}

/// Returns the bundles of entries, each behind its length; or the number of an entry that is too long for one.
pub(super) fn entry_tiles<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Result<Vec<(String, Vec<u8>)>, usize> {
    let (mut tiles, mut bundle, mut number) = (Vec::new(), Vec::new(), 0);
    for entry in entries {
        let length = u16::try_from(entry.len()).map_err(|_| number)?;
        bundle.extend(length.to_be_bytes());
        bundle.extend(entry);
        number += 1;
        if number % WIDTH == 0 {
            tiles.push((path("entries", number / WIDTH - 1, WIDTH), std::mem::take(&mut bundle)));
        }
    }
    if number % WIDTH > 0 {
        tiles.push((path("entries", number / WIDTH, number % WIDTH), bundle));
    }
    Ok(tiles)
}

/// `tile/0/x001/x234/067.p/12`: three digits of the number in each part, the width of a tile that is not whole at the end.
fn path(level: &str, number: usize, width: usize) -> String {
    let mut parts = vec![format!("{:03}", number % 1000)];
    let mut rest = number / 1000;
    while rest > 0 {
        parts.insert(0, format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    let partial = if width == WIDTH {
        String::new()
    } else {
        format!(".p/{width}")
    };
    format!("tile/{level}/{}{partial}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::tree::leaf;
    use super::*;

    #[test]
    fn paths_and_widths_are_those_of_the_specification() {
        assert_eq!(path("0", 1_234_067, WIDTH), "tile/0/x001/x234/067");
        assert_eq!(path("entries", 273, 112), "tile/entries/273.p/112");
        let tiles = |size: u32| {
            let leaves: Vec<_> = (0..size).map(|n| leaf(&n.to_be_bytes())).collect();
            hash_tiles(&leaves)
        };
        let names = |size| tiles(size).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(names(256), ["tile/0/000", "tile/1/000.p/1"]);
        let large = names(70_000);
        assert_eq!(large.len(), 273 + 1 + 1 + 1 + 1);
        for expected in ["tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"] {
            assert!(large.iter().any(|name| name == expected), "{expected}");
        }
        assert!(tiles(0).is_empty());
        assert!(tiles(300).iter().all(|(_, bytes)| bytes.len() % 32 == 0));
    }

    #[test]
    fn an_entry_has_its_length_before_it_and_one_that_is_too_long_is_named() {
        let entries: [&[u8]; 2] = [b"one", b""];
        let tiles = entry_tiles(entries.into_iter()).unwrap();
        assert_eq!(tiles, [("tile/entries/000.p/2".to_owned(), b"\0\x03one\0\0".to_vec())]);
        let long = vec![b'x'; 65_536];
        assert_eq!(entry_tiles([&b"one"[..], &long].into_iter()), Err(1));
        assert_eq!(entry_tiles([&long[1..]].into_iter()).unwrap().len(), 1);
    }
}
