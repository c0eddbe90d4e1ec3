//! Services by name: each line of what was seen to go wrong, read by the real binary over sockets.

use super::binary::try_binary;
use super::bounds::Bound;
use super::cap::Cap;
use super::case::{Case, Oddity, Settings};
use super::chance::roll;
use super::faults::{Fault, Faults};
use super::feed::{Arrival, Damage, Feed, Moment};
use super::judge::{Verdict, try_case};
use super::numbered::NumberedOddity;
use super::order::Order;
use super::runs::Reader;
use super::service::Service;
use super::tokens::{NoToken, TokenOddity};
use super::vendor::Vendor;

/// A service with so many records, so many milliseconds apart, read with the usual settings.
fn of(vendor: Vendor, count: usize, apart: i64, oddities: &[Oddity]) -> Case {
    Case {
        vendor,
        feed: Feed::even(count, apart),
        settings: Settings {
            max_pages: 20,
            port_limit: 1_000,
            concurrency: 4,
            lookback_days: 8,
            max_retries: 3,
        },
        oddities: oddities.to_vec(),
        seed: 7,
    }
}

fn one_in(every: u64, fault: Fault) -> Oddity {
    Oddity::Faults(Faults {
        fault,
        every,
        is_endless: false,
    })
}

/// Every record is there once, or the run says that it failed; in no more requests than anything explains.
#[track_caller]
fn is_not_silent(case: &Case) {
    ends_with(case, |_| {}, |verdict| verdict < Verdict::Storm);
}

/// Every record is there once.
#[track_caller]
fn is_right(case: &Case) {
    ends_with(case, |_| {}, |verdict| verdict == Verdict::Right);
}

#[track_caller]
fn ends_with(case: &Case, adjust: impl FnOnce(&mut Service), is_good: impl Fn(Verdict) -> bool) {
    let judgement = try_binary(case, None, adjust);
    let reasons = judgement.reasons.join("\n    > ");
    println!("{}:\n{case}\n    > {reasons}", judgement.verdict);
    assert!(is_good(judgement.verdict), "{}", judgement.verdict);
}

#[test]
fn a_disk_that_cuts_the_upper_bound_and_excludes_it_loses_nothing() {
    is_right(&of(Vendor::Disk, 6_000, 130, &[Oddity::Upper(Bound::CUT_AND_EXCLUDED)]));
}

#[test]
fn a_port_that_cuts_the_upper_bound_and_excludes_it_loses_nothing() {
    let mut case = of(Vendor::Port, 20_000, 213, &[Oddity::Upper(Bound::CUT_AND_EXCLUDED)]);
    case.settings.port_limit = 100;
    is_right(&case);
}

#[test]
fn the_busy_minutes_of_a_service_that_cuts_bounds_are_read_by_the_first_run() {
    for (seed, count) in [(1, 60), (2, 80), (3, 90)] {
        let mut case = of(
            Vendor::Disk,
            0,
            0,
            &[Oddity::Lower(Bound::CUT), Oddity::Upper(Bound::CUT)],
        );
        // So many in each of a hundred and thirty seconds, and a few before that.
        let mut ages: Vec<_> = (0..130 * count)
            .map(|n| (n / count * 1_000 + roll(seed, &n) % 1_000) as i64)
            .collect();
        ages.sort_unstable();
        case.feed.bursts = gaps(&ages).chain(vec![7_000_000; 90]).map(|gap| (gap, 1)).collect();
        case.settings.concurrency = 8;
        is_right(&case);
    }
}

/// A service that cuts both bounds to whole seconds, and has three hundred records in one second, which is no whole one, with neighbours
/// either way round.
fn with_a_busy_second(vendor: Vendor, seed: u64) -> Case {
    let oddities = [
        Oddity::Lower(Bound::CUT_AND_EXCLUDED),
        Oddity::Upper(Bound::CUT),
        Oddity::Order(Order::Shuffled(1_000)),
    ];
    let mut case = of(vendor, 0, 0, &oddities);
    let age = |n: u64| 9_000_000 + (83 * seed + roll(seed, &n) % 1_000) as i64;
    let mut ages: Vec<_> = (0..300).map(age).collect();
    ages.sort_unstable();
    case.feed.bursts = gaps(&ages).map(|gap| (gap, 1)).collect();
    case.settings.port_limit = 100;
    case.settings.lookback_days = 2;
    case
}

#[test]
fn a_busy_second_loses_nothing_where_neighbours_stand_either_way_round_and_bounds_are_cut() {
    for vendor in [Vendor::Mail, Vendor::Disk, Vendor::Port] {
        for seed in 0..12 {
            is_right(&with_a_busy_second(vendor, seed));
        }
    }
}

/// Returns how far each of these is from the one before.
fn gaps(ages: &[i64]) -> impl Iterator<Item = i64> {
    ages.iter()
        .scan(0, |last, age| Some(age - std::mem::replace(last, *age)))
}

#[test]
fn mail_in_short_cycles_that_cuts_the_upper_bound_and_excludes_it_loses_nothing() {
    let mut case = of(Vendor::Mail, 12_000, 137, &[Oddity::Upper(Bound::CUT_AND_EXCLUDED)]);
    case.settings.max_pages = 2;
    is_right(&case);
}

#[test]
fn a_service_that_answers_oldest_first_loses_nothing() {
    for vendor in [Vendor::Mail, Vendor::Disk, Vendor::Port] {
        is_right(&of(vendor, 10_000, 900, &[Oddity::Order(Order::OldestFirst)]));
    }
}

#[test]
fn a_port_that_gives_so_many_bytes_loses_no_burst_of_large_records_without_a_word() {
    let mut case = of(Vendor::Port, 0, 0, &[Oddity::Cap(Cap::Bytes(60_000))]);
    case.feed.bursts = vec![(0, 845), (60_000, 1)];
    let enlarge = |service: &mut Service| service.records.iter_mut().for_each(|record| record.padding = 2_700);
    ends_with(&case, enlarge, |verdict| verdict < Verdict::Storm);
}

#[test]
fn one_empty_answer_in_the_middle_of_a_walk_loses_nothing() {
    is_right(&of(Vendor::Port, 5_000, 9_000, &[one_in(6, Fault::Empty)]));
    is_right(&of(Vendor::Mail, 21_000, 9_000, &[one_in(40, Fault::Empty)]));
    is_right(&of(Vendor::Disk, 10_000, 9_000, &[one_in(30, Fault::Empty)]));
}

#[test]
fn an_empty_answer_for_a_part_of_what_was_too_wide_is_not_believed() {
    const DAY: i64 = 86_400_000;
    for seed in 0..6 {
        let oddities = [Oddity::Widest(DAY), one_in(6, Fault::Empty)];
        let mut case = of(Vendor::Port, 0, 0, &oddities);
        case.feed.bursts = (0..15).map(|burst| (3 * DAY + burst * 1_234_567, 7)).collect();
        case.settings.lookback_days = 60;
        case.seed = seed;
        is_right(&case);
    }
}

#[test]
fn a_service_that_answers_504_for_wide_windows_is_asked_for_shorter_ones() {
    const HOUR: i64 = 3_600_000;
    for vendor in [Vendor::Mail, Vendor::Disk, Vendor::Audit, Vendor::Port] {
        for widest in [6 * HOUR, 30 * HOUR] {
            is_right(&of(vendor, 400, 900_000, &[Oddity::Widest(widest)]));
        }
    }
}

#[test]
fn capped_answers_for_parts_of_what_was_too_wide_meet_each_other_at_any_concurrency() {
    const DAY: i64 = 86_400_000;
    for factor in [7_919, 104_729, 1_299_709, 15_485_863, 32_452_843, 49_979_687] {
        let oddities = [Oddity::Widest(DAY), Oddity::Cap(Cap::Records(20))];
        let mut case = of(Vendor::Port, 0, 0, &oddities);
        case.feed.bursts = (1..800).map(|n| (n * n * factor % 3_100_000, 1)).collect();
        case.settings.lookback_days = 90;
        is_right(&case);
    }
}

#[test]
fn an_answer_cut_by_a_large_record_says_nothing_of_what_is_above_it() {
    let mut case = of(
        Vendor::Mail,
        60,
        900_000,
        &[Oddity::Order(Order::OldestFirst), Oddity::Cap(Cap::Bytes(3_000))],
    );
    case.oddities
        .push(Oddity::Tokens(TokenOddity::EndAfter(1, NoToken::Empty)));
    for large in 54..59 {
        let enlarge = |service: &mut Service| service.records[large].padding = 4_000;
        ends_with(&case, enlarge, |verdict| verdict < Verdict::Storm);
    }
}

#[test]
fn a_full_page_without_a_token_is_not_the_end() {
    for form in [NoToken::Empty, NoToken::Missing, NoToken::Null, NoToken::OtherName] {
        let oddity = Oddity::Tokens(TokenOddity::EndAfter(1, form));
        is_not_silent(&of(Vendor::Audit, 450, 9_000, &[oddity]));
    }
}

#[test]
fn a_trail_whose_next_page_is_null_or_missing_is_not_at_its_end() {
    for oddity in [NumberedOddity::NextNull, NumberedOddity::NextMissing] {
        is_not_silent(&of(Vendor::Terraform, 3_500, 9_000, &[Oddity::Numbered(oddity)]));
    }
}

#[test]
fn a_trail_of_short_pages_that_does_not_say_how_many_records_there_are_is_read_to_its_end() {
    for oddity in [NumberedOddity::CountMissing, NumberedOddity::NothingSaid] {
        for (count, cap) in [(2_150, 100), (7, 2), (3, 1), (1, 1)] {
            let oddities = [Oddity::Cap(Cap::Records(cap)), Oddity::Numbered(oddity)];
            is_right(&of(Vendor::Terraform, count, 9_000, &oddities));
        }
        is_right(&of(Vendor::Terraform, 300, 9_000, &[Oddity::Numbered(oddity)]));
    }
}

#[test]
fn a_replica_that_lacks_the_newest_records_and_answers_behind_the_first_page_loses_nothing() {
    for vendor in [Vendor::Terraform, Vendor::Mail] {
        let oddity = one_in(2, Fault::LaggingBehindTheFirst(4));
        is_not_silent(&of(vendor, 2_500, 9_000, &[oddity]));
    }
}

#[test]
fn a_service_that_has_lagged_is_asked_until_an_answer_holds_whatever_the_others_do() {
    let reader = Reader::new();
    for vendor in [Vendor::Mail, Vendor::Disk, Vendor::Audit, Vendor::Port] {
        // Where no answer has shown the lag before, as with other seeds, nobody can know of it.
        for seed in [0, 3, 4, 7, 9, 10, 13, 14, 15, 17] {
            let oddities = [one_in(2, Fault::LaggingInAnyOrder(40)), one_in(4, Fault::Lagging(900))];
            let mut case = of(vendor, 1_000, 9_000, &oddities);
            (case.seed, case.settings.port_limit, case.settings.concurrency) = (seed, 100, 1);
            // They came between two runs, and not in the order of their times.
            case.feed.arrivals = (1..30)
                .map(|n| Arrival {
                    at: Moment { run: 1, request: 0 },
                    count: 2,
                    age: n * 9_700,
                })
                .collect();
            let judgement = try_case(&reader, &case);
            assert_eq!(
                judgement.verdict,
                Verdict::Right,
                "{vendor:?}, {seed}: {:?}",
                judgement.reasons
            );
        }
    }
}

#[test]
fn two_answers_to_one_request_that_differ_are_reason_enough_to_read_all_of_it_again() {
    let reader = Reader::new();
    // With other seeds no answer shows it: where each is asked for once, or by chance from replicas that have the same.
    for (vendor, seed) in [
        (Vendor::Mail, 0),
        (Vendor::Mail, 9),
        (Vendor::Mail, 17),
        (Vendor::Disk, 11),
        (Vendor::Port, 11),
    ] {
        let mut case = of(vendor, 250, 60_000, &[one_in(2, Fault::Holes(40))]);
        (case.seed, case.settings.port_limit, case.settings.concurrency) = (seed, 100, 1);
        let judgement = try_case(&reader, &case);
        let reasons = &judgement.reasons;
        assert_eq!(judgement.verdict, Verdict::Right, "{vendor:?}, {seed}: {reasons:?}");
    }
}

#[test]
fn pages_that_grow_repeat_or_move_in_the_middle_of_a_walk_lose_nothing() {
    let oddities = [
        Oddity::Numbered(NumberedOddity::SizeGrows(4, 1_000)),
        one_in(6, Fault::PageBefore),
        one_in(6, Fault::LaggingBehindTheFirst(150)),
    ];
    for oddity in oddities {
        is_not_silent(&of(
            Vendor::Terraform,
            4_000,
            9_000,
            &[Oddity::Cap(Cap::Records(100)), oddity],
        ));
    }
}

#[test]
fn a_record_with_a_newer_time_on_an_old_page_and_a_failed_request_lose_nothing_for_good() {
    for seed in 0..6 {
        let oddities = [Oddity::Cap(Cap::Records(20)), one_in(20, Fault::Status(500))];
        let mut case = of(Vendor::Terraform, 400, 60_000, &oddities);
        case.seed = seed;
        case.settings.max_retries = 0;
        // An answer that is under way when another one fails is not read: it counts as given to the service alone.
        case.settings.concurrency = 1;
        let misfile = |service: &mut Service| {
            let newest = service.records[0].shown_at;
            service.records[300].shown_at = newest - 1_000;
        };
        ends_with(&case, misfile, |verdict| verdict < Verdict::Storm);
    }
}

#[test]
fn a_service_that_filters_by_a_time_before_the_one_that_it_shows_loses_nothing() {
    for vendor in [Vendor::Mail, Vendor::Port] {
        is_right(&of(vendor, 12_000, 900, &[Oddity::FiledEarlier(5_000)]));
    }
}

#[test]
fn neighbours_that_are_swapped_over_the_border_of_a_page_are_not_lost() {
    for vendor in [Vendor::Mail, Vendor::Port] {
        is_right(&of(vendor, 20_000, 3, &[Oddity::Order(Order::Shuffled(6))]));
    }
}

#[test]
fn a_key_that_moves_a_scroll_is_not_sent_again_when_its_answer_was_lost() {
    let oddities = [Oddity::Tokens(TokenOddity::MoveAScroll), one_in(6, Fault::Lost)];
    is_not_silent(&of(Vendor::Audit, 3_000, 9_000, &oddities));
}

#[test]
fn a_504_at_every_third_request_makes_no_storm() {
    is_not_silent(&of(Vendor::Port, 5_000, 9_000, &[one_in(3, Fault::Status(504))]));
}

#[test]
fn one_record_that_is_no_json_stops_nothing() {
    for damage in [
        Damage::BrokenUtf8,
        Damage::ControlCharacter,
        Damage::NotANumber,
        Damage::BareQuote,
        Damage::WrongBracket,
        Damage::StrayBracket,
    ] {
        for vendor in Vendor::ALL {
            is_right(&of(vendor, 300, 9_000, &[Oddity::Damage(damage, 300)]));
        }
    }
}

#[test]
fn a_token_that_is_refused_begins_a_new_cycle() {
    is_right(&of(
        Vendor::Mail,
        3_000,
        9_000,
        &[Oddity::Tokens(TokenOddity::RefusedPast(1_000))],
    ));
    is_right(&of(
        Vendor::Audit,
        3_000,
        9_000,
        &[Oddity::Tokens(TokenOddity::RefusedPast(1_000))],
    ));
    is_right(&of(
        Vendor::Audit,
        1_000,
        9_000,
        &[Oddity::Tokens(TokenOddity::ExpireAfter(4))],
    ));
}

#[test]
fn what_is_filled_in_while_it_is_read_makes_no_second_event() {
    for request in [2, 4, 5] {
        let changes = Moment { run: 0, request };
        is_right(&of(Vendor::Mail, 250, 9_000, &[Oddity::Change(changes)]));
    }
}

#[test]
fn answers_that_end_some_hours_below_their_upper_bound_lose_nothing() {
    for vendor in [Vendor::Mail, Vendor::Disk, Vendor::Audit, Vendor::Port] {
        for hours in [3, 6] {
            let mut case = of(vendor, 0, 0, &[Oddity::Reaching(hours * 3_600_000)]);
            // Now and then nothing happens for longer than an answer reaches.
            const DAY: i64 = 86_400_000;
            let busy = |part: i64| (0..200).map(move |n| (60_000 + n * n * part % 1_500_000, 1 + n as usize % 3));
            let quiet = |part: i64| (part * DAY, 1);
            case.feed.bursts = (1..4)
                .flat_map(|part| busy(part * 7_919).chain([quiet(part)]))
                .collect();
            case.settings.lookback_days = 20;
            if hours == 6 {
                is_right(&case);
            } else {
                // Here too few answers are cut before the first that has nothing.
                is_not_silent(&case);
            }
        }
    }
}

#[test]
fn a_record_from_elsewhere_in_an_answer_is_no_reason_to_ask_for_the_same_again_and_again() {
    for vendor in [Vendor::Mail, Vendor::Disk, Vendor::Audit, Vendor::Port] {
        let mut case = of(vendor, 400, 500_000, &[one_in(5, Fault::Stray)]);
        case.settings.port_limit = 100;
        is_right(&case);
        case.oddities = vec![one_in(2, Fault::Stray)];
        is_not_silent(&case);
    }
}

#[test]
fn records_that_stand_anywhere_in_a_feed_are_not_lost() {
    for vendor in [Vendor::Mail, Vendor::Disk, Vendor::Audit, Vendor::Port] {
        let mut case = of(vendor, 1_500, 120_000, &[Oddity::Order(Order::Misplaced(100))]);
        case.settings.port_limit = 100;
        is_right(&case);
    }
}
