//! The quorum of a policy (C2SP `tlog-policy`): which witnesses have to have cosigned a checkpoint.

use std::collections::BTreeMap;

use super::note::VerifierKey;

/// A witness, or a group of which so many members are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Member {
    /// With the address at which it is asked to sign, where the policy has one.
    Witness(VerifierKey, Option<String>),
    Group(usize, Vec<String>),
}

/// The witnesses and groups of a policy, and which of them is the quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quorum {
    members: BTreeMap<String, Member>,
    /// Those that are in a group already.
    grouped: Vec<String>,
    /// The name of the quorum; `None` until a line has said it, `none` if no witness is needed.
    name: Option<String>,
}

/// What no quorum is called.
const NONE: &str = "none";

impl Quorum {
    /// Reads a line, word by word; `None` if it is not about witnesses.
    pub(super) fn read(&mut self, words: &[&str]) -> Option<Result<(), String>> {
        Some(match words {
            ["witness", name, key] => self.add_witness(name, key, None),
            ["witness", name, key, address] => self.add_witness(name, key, Some(address)),
            ["group", name, least, members @ ..] if !members.is_empty() => self.add_group(name, least, members),
            ["quorum", name] => self.set(name),
            _ => return None,
        })
    }

    fn add_witness(&mut self, name: &str, key: &str, address: Option<&str>) -> Result<(), String> {
        let key = VerifierKey::parse_cosigner(key).map_err(|error| format!("the key cannot be used: {error}"))?;
        if self.witnesses().any(|other| other.is_same_key(&key)) {
            return Err("the same key stands in another line".to_owned());
        }
        self.add(name, Member::Witness(key, address.map(str::to_owned)))
    }

    fn add_group(&mut self, name: &str, least: &str, members: &[&str]) -> Result<(), String> {
        for member in members {
            if !self.members.contains_key(*member) {
                return Err(format!("no line above it defines {}", member.escape_debug()));
            }
            if self.grouped.iter().any(|grouped| grouped == member) {
                return Err(format!("{} is in a group already", member.escape_debug()));
            }
            self.grouped.push((*member).to_owned());
        }
        let least = match least {
            "all" => Some(members.len()),
            "any" => Some(1),
            number => number.parse().ok().filter(|least: &usize| least.to_string() == number),
        };
        let least = least.filter(|least| (1..=members.len()).contains(least));
        let least =
            least.ok_or_else(|| format!("a group needs `all`, `any`, or a number from 1 to {}", members.len()))?;
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        self.add(name, Member::Group(least, members))
    }

    fn add(&mut self, name: &str, member: Member) -> Result<(), String> {
        if name == NONE || self.members.contains_key(name) {
            return Err(format!("the name {} is taken", name.escape_debug()));
        }
        self.members.insert(name.to_owned(), member);
        Ok(())
    }

    fn set(&mut self, name: &str) -> Result<(), String> {
        if self.name.is_some() {
            return Err("there is a second quorum".to_owned());
        }
        if name != NONE && !self.members.contains_key(name) {
            return Err(format!("no line above it defines {}", name.escape_debug()));
        }
        self.name = Some(name.to_owned());
        Ok(())
    }

    /// Whether a line says what the quorum is.
    pub(super) fn is_set(&self) -> bool {
        self.name.is_some()
    }

    /// Returns the name of the quorum, if one is needed.
    pub(crate) fn needed(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| *name != NONE)
    }

    /// Returns the keys of all witnesses.
    pub(crate) fn witnesses(&self) -> impl Iterator<Item = &VerifierKey> {
        self.members.values().filter_map(|member| match member {
            Member::Witness(key, _) => Some(key),
            Member::Group(..) => None,
        })
    }

    /// Returns the keys of the witnesses that have an address, and that.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&VerifierKey, &str)> {
        self.members.values().filter_map(|member| match member {
            Member::Witness(key, address) => Some((key, address.as_deref()?)),
            Member::Group(..) => None,
        })
    }

    /// Returns whether it is met where these witnesses have cosigned.
    pub(crate) fn is_met(&self, has_cosigned: impl Fn(&VerifierKey) -> bool) -> bool {
        self.needed().is_none_or(|name| self.has_witnessed(name, &has_cosigned))
    }

    /// A group holds members that stand above it only, so this ends.
    fn has_witnessed(&self, name: &str, has_cosigned: &impl Fn(&VerifierKey) -> bool) -> bool {
        match self.members.get(name) {
            None => false,
            Some(Member::Witness(key, _)) => has_cosigned(key),
            Some(Member::Group(least, members)) => {
                let witnessed = members.iter().filter(|member| self.has_witnessed(member, has_cosigned));
                witnessed.count() >= *least
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::signer::Signer;
    use super::*;

    fn keys() -> Vec<VerifierKey> {
        let key = |n: u32| {
            Signer::generate_cosigner(&format!("w{n}.example"))
                .unwrap()
                .verifier()
                .clone()
        };
        (0..5).map(key).collect()
    }

    fn quorum(lines: &[String]) -> Result<Quorum, String> {
        let mut quorum = Quorum::default();
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            quorum.read(&words).unwrap_or_else(|| Err("no line".to_owned()))?;
        }
        Ok(quorum)
    }

    #[test]
    fn a_quorum_of_groups_is_met_by_as_many_as_it_says() {
        let keys = keys();
        let witness = |n: usize| format!("witness W{n} {}", keys[n]);
        let mut lines: Vec<_> = (0..5).map(witness).collect();
        for line in ["group X 2 W0 W1 W2", "group Y any W3 W4", "group Z all X Y", "quorum Z"] {
            lines.push(line.to_owned());
        }
        let quorum = quorum(&lines).unwrap();
        let met = |cosigners: &[usize]| quorum.is_met(|key| cosigners.iter().any(|n| keys[*n] == *key));
        assert!(met(&[0, 2, 4]) && met(&[0, 1, 2, 3]));
        assert!(!met(&[0, 1, 2]) && !met(&[0, 3, 4]) && !met(&[]));
        assert!(super::Quorum::default().is_met(|_| false));
    }

    #[test]
    fn a_quorum_that_cannot_be_kept_is_refused() {
        let keys = keys();
        let (one, two) = (format!("witness W0 {}", keys[0]), format!("witness W1 {}", keys[1]));
        let table = [
            (vec![format!("witness none {}", keys[0])], "the name none is taken"),
            (
                vec![one.clone(), format!("witness W0 {}", keys[1])],
                "the name W0 is taken",
            ),
            (
                vec![one.clone(), format!("witness W1 {}", keys[0])],
                "the same key stands in another line",
            ),
            (
                vec![one.clone(), "group G any W1".to_owned()],
                "no line above it defines W1",
            ),
            (
                vec![one.clone(), "group G 2 W0".to_owned()],
                "a group needs `all`, `any`, or a number from 1 to 1",
            ),
            (
                vec![one.clone(), "group G 0 W0".to_owned()],
                "a group needs `all`, `any`, or a number from 1 to 1",
            ),
            (
                vec![one.clone(), "group G 01 W0".to_owned()],
                "a group needs `all`, `any`, or a number from 1 to 1",
            ),
            (
                vec![
                    one.clone(),
                    two,
                    "group G any W0 W1".to_owned(),
                    "group H any W0".to_owned(),
                ],
                "W0 is in a group already",
            ),
            (vec!["quorum W0".to_owned()], "no line above it defines W0"),
            (
                vec!["quorum none".to_owned(), "quorum none".to_owned()],
                "there is a second quorum",
            ),
        ];
        for (lines, expected) in table {
            assert_eq!(quorum(&lines), Err(expected.to_owned()), "{lines:?}");
        }
    }
}
