//! What all streams together may send to one host: a bounded number of requests, by turns of their organizations, and none during
//! a backoff.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use url::{Origin, Url};

use super::turns::{Length, MOST_BACKOFFS, Party, Places, Ticket, Turns};
use crate::env::Organization;

/// The most requests of several organizations that are under way to a host, unless one of them alone may send more.
const MOST_OF_ALL: usize = 32;

/// A host, shared by all streams that use it.
#[derive(Debug, Default)]
struct Host {
    /// What it is called in the log.
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    turns: Turns,
    /// Those that wait for their turn.
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
    /// How often a wait after a rate limit of each began or ended.
    backoff_epochs: BTreeMap<Party, u64>,
    /// How often one of the host began or ended.
    closed_epoch: u64,
}

/// A host as the streams of one organization see it.
#[derive(Debug)]
pub(crate) struct Share {
    host: Arc<Host>,
    party: Party,
    /// Whether the requests are of a span that takes many of them.
    is_long: AtomicBool,
}

/// A request that may be sent, and counts as under way as long as this lives.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    host: &'a Host,
    ticket: Ticket,
}

/// While this lives, no request of the organization is sent to the host.
#[derive(Debug)]
pub(super) struct Backoff<'a> {
    host: &'a Host,
    party: Party,
}

/// The hosts of a run.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    by_origin: Mutex<HashMap<Origin, Arc<Host>>>,
}

/// A stream's address, whose it is, and how many requests it may have under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'a> {
    pub(crate) url: &'a Url,
    pub(crate) organization: Option<Organization>,
    pub(crate) concurrency: usize,
}

impl Share {
    /// Creates that of a host that nobody else uses and that takes `concurrency` requests at a time, at least one.
    pub(crate) fn alone(concurrency: usize) -> Self {
        let host = Host::default();
        host.allow(BTreeMap::from([(None, concurrency)]));
        Self::of(Arc::new(host), None)
    }

    fn of(host: Arc<Host>, party: Party) -> Self {
        Self {
            host,
            party,
            is_long: AtomicBool::new(false),
        }
    }

    /// Says whether many requests follow, of a first collection or of another long span: those of others go before some of them.
    pub(crate) fn expect_long(&self, is_long: bool) {
        self.is_long.store(is_long, Ordering::Relaxed);
    }

    /// Waits until a request may be sent. Given up while it waits, it takes no place.
    pub(super) async fn permit(&self) -> Permit<'_> {
        let (call, called) = oneshot::channel();
        let permit = self.host.join(self.party, self.length(), call);
        // It is not dropped without being sent, as long as the permit lives.
        let _ = called.await;
        permit
    }

    /// Stops all requests of the organization to the host, after a rate limit, until the returned value is dropped.
    pub(super) fn back_off(&self) -> Backoff<'_> {
        self.host.change_backoff(self.party, Turns::begin_backoff);
        Backoff {
            host: &self.host,
            party: self.party,
        }
    }

    /// Returns a number that changes whenever a backoff that stops these requests begins or ends.
    pub(super) fn backoff_epoch(&self) -> u64 {
        let state = self.host.state();
        state.backoff_epochs.get(&self.party).copied().unwrap_or_default() + state.closed_epoch
    }

    /// Alone, an organization has nobody to wait for.
    fn length(&self) -> Length {
        if self.party.is_some() && self.is_long.load(Ordering::Relaxed) {
            Length::Long
        } else {
            Length::Short
        }
    }
}

impl Host {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held cannot leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what each may send at a time.
    fn allow(&self, each: BTreeMap<Party, usize>) {
        let largest = each.values().copied().max().unwrap_or_default();
        let sum = each.values().sum::<usize>();
        let mut state = self.state();
        state.turns.allow(Places {
            all: sum.min(largest.max(MOST_OF_ALL)),
            each,
        });
        state.call();
    }

    fn join(&self, party: Party, length: Length, call: oneshot::Sender<()>) -> Permit<'_> {
        let mut state = self.state();
        let ticket = state.turns.join(party, length);
        state.waiting.insert(ticket, call);
        state.call();
        Permit { host: self, ticket }
    }

    fn change_backoff(&self, party: Party, change: fn(&mut Turns, Party)) {
        let mut state = self.state();
        let was_closed = state.turns.is_closed();
        change(&mut state.turns, party);
        *state.backoff_epochs.entry(party).or_default() += 1;
        let is_closed = state.turns.is_closed();
        if is_closed != was_closed {
            state.closed_epoch += 1;
        }
        state.call();
        drop(state);
        // One that is alone has said that it waits.
        if party.is_some() && is_closed != was_closed {
            self.tell(is_closed);
        }
    }

    /// Tells those who wait although nobody has asked them to.
    fn tell(&self, is_closed: bool) {
        let name = &self.name;
        if is_closed {
            tracing::warn!(
                "{name} has asked {MOST_BACKOFFS} organizations to wait: until it is fewer, nothing is sent to it for any"
            );
        } else {
            tracing::info!("{name} is sent requests again");
        }
    }
}

impl State {
    /// Tells those whose turn it is.
    fn call(&mut self) {
        while let Some(ticket) = self.turns.next() {
            if let Some(call) = self.waiting.remove(&ticket) {
                // One that was given up leaves at once.
                let _ = call.send(());
            }
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.host.state();
        state.waiting.remove(&self.ticket);
        state.turns.leave(self.ticket);
        state.call();
    }
}

impl Drop for Backoff<'_> {
    fn drop(&mut self) {
        self.host.change_backoff(self.party, Turns::end_backoff);
    }
}

impl Hosts {
    /// Creates the hosts of these addresses.
    pub(crate) fn new<'a>(addresses: impl IntoIterator<Item = Address<'a>>) -> Self {
        let hosts = Self::default();
        hosts.go_on_with(addresses);
        hosts
    }

    /// Goes on with these addresses: each organization may send to a host as much as the largest of its own says, and all
    /// together what they may send each, up to a limit. Requests that are under way stay so.
    pub(crate) fn go_on_with<'a>(&self, addresses: impl IntoIterator<Item = Address<'a>>) {
        let mut wanted: HashMap<Origin, BTreeMap<Party, usize>> = HashMap::new();
        for address in addresses {
            let each = wanted.entry(address.url.origin()).or_default();
            let most = each.entry(address.organization).or_default();
            *most = address.concurrency.max(*most);
        }
        let mut by_origin = self.by_origin();
        by_origin.retain(|origin, _| wanted.contains_key(origin));
        for (origin, each) in wanted {
            let host = by_origin.entry(origin).or_insert_with_key(|origin| {
                Arc::new(Host {
                    name: origin.ascii_serialization(),
                    ..Host::default()
                })
            });
            host.allow(each);
        }
    }

    /// Returns what an organization has of the host of an address; for an unknown address a host of its own, with one request at a
    /// time.
    pub(crate) fn share(&self, address: &Url, organization: Option<Organization>) -> Share {
        let known = self.by_origin().get(&address.origin()).map(Arc::clone);
        known.map_or_else(|| Share::alone(1), |host| Share::of(host, organization))
    }

    fn by_origin(&self) -> MutexGuard<'_, HashMap<Origin, Arc<Host>>> {
        self.by_origin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;
    use crate::test_support::random::cases;

    fn organization(name: &str) -> Party {
        Some(Organization::new(name).unwrap())
    }

    /// Returns the shares of these organizations in one host, which may send `concurrency` requests each.
    fn shares(names: &[&str], concurrency: usize) -> Vec<Share> {
        let url = Url::parse("http://127.0.0.1:1/").unwrap();
        let organizations: Vec<_> = names.iter().map(|name| organization(name)).collect();
        let hosts = Hosts::new(organizations.iter().map(|organization| Address {
            url: &url,
            organization: *organization,
            concurrency,
        }));
        let shares = organizations
            .into_iter()
            .map(|organization| hosts.share(&url, organization));
        shares.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_are_under_way_than_the_host_takes() {
        let host = Share::alone(2);
        let (first, _second) = (host.permit().await, host.permit().await);
        assert!(host.permit().now_or_never().is_none());
        drop(first);
        assert!(host.permit().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_was_asked_too_much_is_left_alone_by_all() {
        let host = Share::alone(4);
        let began = Instant::now();
        let back_off_for = async |seconds| {
            let _backoff = host.back_off();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        };
        let ask = async {
            tokio::task::yield_now().await;
            let _permit = host.permit().await;
            began.elapsed().as_secs()
        };
        let (_, _, asked) = futures::join!(back_off_for(7), back_off_for(3), ask);
        assert_eq!(asked, 7);
    }

    #[test]
    fn one_organization_that_was_asked_to_wait_holds_up_no_other_and_three_of_them_all() {
        let shares = shares(&["a", "b", "c", "d"], 1);
        let epochs = || shares.iter().map(Share::backoff_epoch).collect::<Vec<_>>();
        let (_first, second) = (shares[0].back_off(), shares[1].back_off());
        assert!(shares[0].permit().now_or_never().is_none());
        assert!(shares[3].permit().now_or_never().is_some());
        assert_eq!(epochs(), [1, 1, 0, 0]);
        let third = shares[2].back_off();
        assert!(shares[3].permit().now_or_never().is_none());
        drop(second);
        assert!(shares[3].permit().now_or_never().is_some());
        assert_eq!(epochs(), [3, 4, 3, 2]);
        drop(third);
        assert_eq!(epochs(), [3, 4, 4, 2]);
    }

    #[test]
    fn what_is_given_up_takes_no_place_be_it_told_already_or_not() {
        let host = Share::alone(1);
        let first = host.permit().now_or_never().unwrap();
        let (mut told, mut given_up) = (Box::pin(host.permit()), Box::pin(host.permit()));
        assert!(told.as_mut().now_or_never().is_none() && given_up.as_mut().now_or_never().is_none());
        drop(given_up);
        // Its turn comes, and it is dropped before it looks.
        drop(first);
        drop(told);
        assert!(host.permit().now_or_never().is_some());
    }

    #[test]
    fn streams_of_one_origin_share_a_host() {
        let urls = [
            "http://127.0.0.1:1/mail",
            "http://127.0.0.1:1/disk",
            "http://127.0.0.1:2/",
        ];
        let urls = urls.map(|url| Url::parse(url).unwrap());
        let addresses = [(&urls[0], 2), (&urls[1], 5), (&urls[2], 1)];
        let hosts = Hosts::new(addresses.map(|(url, concurrency)| Address {
            url,
            organization: None,
            concurrency,
        }));
        let host = |url: &Url| hosts.share(url, None).host;
        assert!(Arc::ptr_eq(&host(&urls[0]), &host(&urls[1])));
        assert!(!Arc::ptr_eq(&host(&urls[0]), &host(&urls[2])));
        assert_eq!(free(&hosts.share(&urls[0], None)), 5);
        let unknown = Url::parse("http://127.0.0.1:3/").unwrap();
        assert_eq!(free(&hosts.share(&unknown, None)), 1);
    }

    /// Returns how many requests can be sent at once.
    fn free(share: &Share) -> usize {
        let permits = std::iter::from_fn(|| share.permit().now_or_never());
        permits.collect::<Vec<_>>().len()
    }

    #[test]
    fn each_organization_has_its_own_number_and_all_together_have_a_limit() {
        let few = shares(&["a", "b"], 4);
        let of_one: Vec<_> = std::iter::from_fn(|| few[0].permit().now_or_never()).collect();
        assert_eq!((of_one.len(), free(&few[1])), (4, 4));
        let names: Vec<_> = (0..10).map(|number| format!("o{number}")).collect();
        let many = shares(&names.iter().map(String::as_str).collect::<Vec<_>>(), 5);
        let of_all: Vec<_> = many
            .iter()
            .flat_map(|share| std::iter::from_fn(|| share.permit().now_or_never()))
            .collect();
        assert_eq!(of_all.len(), MOST_OF_ALL);
        assert_eq!(free(&shares(&["one"], 64)[0]), 64);
    }

    #[test]
    fn what_is_waiting_goes_on_when_the_addresses_are_others() {
        let url = Url::parse("http://127.0.0.1:1/").unwrap();
        let of = |organization, concurrency| Address {
            url: &url,
            organization,
            concurrency,
        };
        let hosts = Hosts::new([of(organization("a"), 1)]);
        let a = hosts.share(&url, organization("a"));
        let _under_way = a.permit().now_or_never().unwrap();
        let mut waiting = Box::pin(a.permit());
        assert!(waiting.as_mut().now_or_never().is_none());
        hosts.go_on_with([of(organization("a"), 2), of(organization("b"), 1)]);
        assert!(waiting.as_mut().now_or_never().is_some());
        assert_eq!(free(&hosts.share(&url, organization("b"))), 1);
    }

    proptest! {
        #![proptest_config(cases(64))]

        /// Requests come, are given up while they wait, take some time; the clock is that of tokio, which does not wait.
        #[test]
        fn every_request_that_is_not_given_up_is_sent(
            requests in prop::collection::vec((0..3_usize, 0..20_u64, 0..30_u64, 1..10_u64, any::<bool>()), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let shares = shares(&["a", "b", "c"], 2);
            let ask = |(of, begins, patience, takes, is_limited): (usize, u64, u64, u64, bool)| {
                let share = &shares[of];
                async move {
                    tokio::time::sleep(Duration::from_secs(begins)).await;
                    // Half of them wait for as long as it takes.
                    let patience = if patience < 15 { patience } else { 10_000 };
                    let waited = tokio::time::timeout(Duration::from_secs(patience), share.permit()).await;
                    let Ok(permit) = waited else { return patience < 15 };
                    tokio::time::sleep(Duration::from_secs(takes)).await;
                    drop(permit);
                    if is_limited {
                        let _backoff = share.back_off();
                        tokio::time::sleep(Duration::from_secs(takes)).await;
                    }
                    true
                }
            };
            let asked = runtime.block_on(futures::future::join_all(requests.into_iter().map(ask)));
            prop_assert!(asked.into_iter().all(|is_sent| is_sent));
            for share in &shares {
                prop_assert_eq!(free(share), 2);
            }
        }
    }
}
