//! What the user of a forwarder has to be allowed: with each right missing, nothing is sent, and the error names the right.

use super::broker::Broker;
use super::outbox::{DAYS, ID, Outbox, TOPIC};
use crate::support::side_by_side;

/// A right that is missing: the id, the requests that a broker without it refuses, and what the error says.
struct Missing {
    id: &'static str,
    refused: &'static [&'static str],
    said: &'static str,
}

const RIGHTS: [Missing; 10] = [
    Missing {
        id: "",
        refused: &["deny produce tfc-logs no-right"],
        said: "grant the user the rights Describe and Write on the topic `tfc-logs`",
    },
    Missing {
        id: "",
        refused: &["deny metadata tfc-logs no-right", "deny produce tfc-logs no-right"],
        said: "grant the user the rights Describe and Write on the topic `tfc-logs`",
    },
    Missing {
        id: ID,
        refused: &[
            "deny produce tfc-logs no-right",
            "deny add-partitions tfc-logs no-right",
        ],
        said: "grant the user the rights Describe and Write on the topic `tfc-logs`",
    },
    Missing {
        id: ID,
        refused: &[
            "deny metadata tfc-logs no-right",
            "deny add-partitions tfc-logs no-right",
        ],
        said: "grant the user the rights Describe and Write on the topic `tfc-logs`",
    },
    Missing {
        id: ID,
        refused: &["deny init logserver1.tfc no-id-right"],
        said: "; grant the user the rights Describe and Write on it",
    },
    Missing {
        id: ID,
        refused: &[r"deny coordinator logserver1.tfc\0 no-group-right"],
        said: "Broker: Group authorization failed); grant the user the right Read on the consumer group `logserver1.tfc`",
    },
    // With the right Describe alone.
    Missing {
        id: ID,
        refused: &["deny add-offsets logserver1.tfc no-group-right"],
        said: "Broker: Group authorization failed); grant the user the right Read on the consumer group `logserver1.tfc`",
    },
    Missing {
        id: ID,
        refused: &[
            "deny metadata logserver1.cursors no-right",
            "deny offsets logserver1.cursors no-right",
        ],
        said: "Broker: Topic authorization failed); grant the user the right Read on the topic `logserver1.cursors`",
    },
    // With the right Describe alone.
    Missing {
        id: ID,
        refused: &["deny offsets logserver1.cursors no-right"],
        said: "did not take the cursor, offsets of the consumer group `logserver1.tfc` for the topic `logserver1.cursors`: \
               TopicAuthorizationFailed (Broker: Topic authorization failed); grant the user the right Read on the topic \
               `logserver1.cursors`",
    },
    Missing {
        id: ID,
        refused: &["deny create logserver1.cursors no-right", "no-auto-create"],
        said: "has no topic `logserver1.cursors` for the cursor, and it could not be made (TopicAuthorizationFailed (Broker: Topic \
               authorization failed)); \
               create it (kafka-topics --create --topic logserver1.cursors --partitions 10), or grant the user the right Create \
               on it",
    },
];

#[test]
fn each_right_that_is_missing_is_told_and_once_it_is_there_every_line_is_sent() {
    side_by_side(RIGHTS, |right| {
        let broker = Broker::start();
        broker.ask(&format!("create {TOPIC} 1"));
        let mut outbox = Outbox::new(&broker)
            .with("KAFKA_TRANSACTIONAL_ID", right.id)
            // It is told at once: nobody would wait as long as this.
            .with("KAFKA_TIMEOUT_SECONDS", "3600");
        outbox.append(DAYS[0], 5, 10);
        right.refused.iter().for_each(|command| drop(broker.ask(command)));
        let failed = outbox.forward(3);
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains(right.said), "no `{}` in: {error}", right.said);
        assert_eq!(
            (failed["sent"].as_u64(), failed["waiting"].as_u64()),
            (Some(0), Some(5))
        );
        assert!(broker.committed(TOPIC).is_empty());
        broker.ask("behave");
        assert_eq!(outbox.forward(0)["sent"], 5);
        outbox.assert_exactly_once(&broker.committed(TOPIC));
    });
}

#[test]
fn the_cursors_topic_that_an_operator_made_is_used_as_it_is() {
    let broker = Broker::start();
    broker.ask("no-auto-create");
    broker.ask(&format!("create {TOPIC} 1"));
    broker.ask("create logserver1.cursors 1");
    broker.ask("deny create logserver1.cursors no-right");
    let mut outbox = Outbox::exactly_once(&broker);
    outbox.append("2024-06-09", 3, 10);
    outbox.append(DAYS[0], 3, 10);
    assert_eq!(outbox.forward(0)["sent"], 6);
    std::fs::remove_dir_all(outbox.path(".trailkeeper")).unwrap();
    outbox.append("2024-06-09", 1, 10);
    assert_eq!(outbox.forward(0)["sent"], 1, "both years are in the one partition");
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}
