//! The order in which an object's members are hashed: that of their keys' hashes.

use super::Member;

/// So many orders are remembered: a service has few kinds of records, and writes the keys of each in one way.
const MOST: usize = 16;

/// Orders that were found before, so that objects with the same keys need not be sorted again.
#[derive(Debug, Default)]
pub(super) struct KeyOrders {
    known: Vec<KeyOrder>,
    /// Which one makes place for the next.
    oldest: usize,
}

/// For keys that came in this sequence, their places from the least hash to the greatest.
#[derive(Debug)]
struct KeyOrder {
    keys: Vec<u128>,
    places: Vec<usize>,
}

impl KeyOrders {
    /// The places of an object's members in the order of their keys' hashes; those of one key stay as they came.
    pub(super) fn of(&mut self, members: &[Member]) -> &[usize] {
        let known = self.known.iter().position(|order| order.is_of(members));
        let found = known.unwrap_or_else(|| self.learn(KeyOrder::of(members)));
        &self.known[found].places
    }

    fn learn(&mut self, order: KeyOrder) -> usize {
        if self.known.len() < MOST {
            self.known.push(order);
            return self.known.len() - 1;
        }
        let place = self.oldest;
        self.oldest = (place + 1) % MOST;
        self.known[place] = order;
        place
    }
}

impl KeyOrder {
    fn of(members: &[Member]) -> Self {
        let mut places: Vec<_> = (0..members.len()).collect();
        places.sort_by_key(|place| members[*place].key);
        Self {
            keys: members.iter().map(|member| member.key).collect(),
            places,
        }
    }

    fn is_of(&self, members: &[Member]) -> bool {
        self.keys.len() == members.len() && self.keys.iter().zip(members).all(|(key, member)| *key == member.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(keys: &[u128]) -> Vec<Member> {
        keys.iter().map(|key| Member { key: *key, value: 0 }).collect()
    }

    #[test]
    fn an_order_is_right_the_first_time_and_every_other_time() {
        let mut orders = KeyOrders::default();
        for _ in 0..3 {
            assert_eq!(orders.of(&members(&[30, 10, 20])), [1, 2, 0]);
            assert_eq!(orders.of(&members(&[30, 20, 10])), [2, 1, 0]);
            assert_eq!(
                orders.of(&members(&[2, 1, 2, 1])),
                [1, 3, 0, 2],
                "members of one key stay as they came"
            );
            assert_eq!(orders.of(&[]), [0_usize; 0]);
        }
    }

    #[test]
    fn no_more_orders_are_remembered_than_a_service_needs() {
        let mut orders = KeyOrders::default();
        for key in 0..1_000 {
            assert_eq!(orders.of(&members(&[key + 1, key])), [1, 0]);
        }
        assert_eq!(orders.known.len(), MOST);
    }
}
