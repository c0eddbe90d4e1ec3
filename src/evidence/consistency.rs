//! Consistency proofs (RFC 6962, section 2.1.2): that a tree has grown out of a smaller one, and holds all that was in it.

use super::tree::{Hash, node, root, split};

/// No proof is longer: a tree has fewer leaves than 2^63.
pub(super) const LONGEST: usize = 63;

/// Returns the hashes which show that the tree over all these leaves has grown out of that over the first ones, so many.
pub(super) fn prove(leaves: &[Hash], old: usize) -> Vec<Hash> {
    if old == 0 || old >= leaves.len() {
        return Vec::new();
    }
    subproof(leaves, old, true)
}

fn subproof(leaves: &[Hash], old: usize, is_known: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if is_known { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, sibling) = match old.checked_sub(left.len()) {
        None | Some(0) => (subproof(left, old, is_known), root(right)),
        Some(rest) => (subproof(right, rest, false), root(left)),
    };
    proof.push(sibling);
    proof
}

/// Returns whether a proof shows that a tree has grown out of another one (RFC 9162, section 2.1.4.2). Every tree has grown out of
/// that without leaves.
pub(super) fn is_grown((old, old_root): (u64, Hash), (new, new_root): (u64, Hash), proof: &[Hash]) -> bool {
    if old == 0 || old >= new {
        return proof.is_empty() && (old == 0 || old == new && old_root == new_root);
    }
    // Where the old tree is whole, its root is the first hash.
    let mut hashes = proof.iter().copied();
    let first = if old.is_power_of_two() {
        Some(old_root)
    } else {
        hashes.next()
    };
    let Some(first) = first else { return false };
    let (mut place, mut last) = (old - 1, new - 1);
    while place % 2 == 1 {
        (place, last) = (place / 2, last / 2);
    }
    let (mut of_old, mut of_new) = (first, first);
    for hash in hashes {
        if last == 0 {
            return false;
        }
        if place % 2 == 1 || place == last {
            (of_old, of_new) = (node(hash, of_old), node(hash, of_new));
            while place % 2 == 0 && place != 0 {
                (place, last) = (place / 2, last / 2);
            }
        } else {
            of_new = node(of_new, hash);
        }
        (place, last) = (place / 2, last / 2);
    }
    last == 0 && of_old == old_root && of_new == new_root
}

#[cfg(test)]
mod tests {
    use super::super::tree::leaf;
    use super::*;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|n| leaf(n.to_string().as_bytes())).collect()
    }

    #[test]
    fn a_tree_is_shown_to_have_grown_out_of_each_smaller_one_and_of_no_other() {
        for new in 1..34 {
            let all = leaves(new);
            let whole = (new as u64, root(&all));
            for old in 0..=new {
                let before = (old as u64, root(&all[..old]));
                let proof = prove(&all, old);
                assert!(
                    proof.len() <= 2 * 6 && is_grown(before, whole, &proof),
                    "{old} of {new}"
                );
                let mut other = all[..old].to_vec();
                if let Some(first) = other.first_mut() {
                    *first = leaf(b"other");
                    assert!(!is_grown((old as u64, root(&other)), whole, &proof), "{old} of {new}");
                }
                let longer = [proof.clone(), vec![all[0]]].concat();
                assert!(!is_grown(before, whole, &longer), "{old} of {new}");
                for at in 0..proof.len() {
                    let mut changed = proof.clone();
                    changed[at].0[0] ^= 1;
                    assert!(!is_grown(before, whole, &changed), "{old} of {new} at {at}");
                    assert!(!is_grown(before, whole, &proof[..at]), "{old} of {new} at {at}");
                }
            }
            assert!(!is_grown((new as u64 + 1, whole.1), whole, &[]));
        }
    }

    #[test]
    fn proofs_are_those_of_the_examples_of_the_rfc() {
        // RFC 6962, section 2.1.3: the proofs of a tree of seven leaves.
        let all = leaves(7);
        let pair = |at: usize| root(&all[at..at + 2]);
        assert_eq!(prove(&all, 3), [all[2], all[3], pair(0), root(&all[4..])]);
        assert_eq!(prove(&all, 4), [root(&all[4..])]);
        assert_eq!(prove(&all, 6), [pair(4), all[6], root(&all[..4])]);
    }
}
