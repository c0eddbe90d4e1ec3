//! Vendors: how each of them is asked, and the JSON in which it answers. Written from the vendors' documentation.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};

use super::feed::{Damage, Record};
use super::numbered::{NextPage, Pagination};
use super::tokens::{NextToken, NoToken};

/// A trail of a vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Vendor {
    Mail,
    Disk,
    Audit,
    Port,
    Terraform,
}

/// How pages follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paging {
    Tokens,
    /// A span has one page, cut at its old end.
    None,
    Numbers,
}

/// What was asked for; times in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) from: i64,
    /// Where it ends, for vendors who know an upper bound.
    pub(crate) to: Option<i64>,
    pub(crate) size: usize,
    pub(crate) page: AskedPage,
}

/// Which page was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AskedPage {
    First,
    Token(String),
    Number(usize),
}

/// What is said of other pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Paged {
    Token(NextToken),
    Nothing,
    Numbers(Pagination),
}

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeForm {
    /// As the vendor does.
    Usual,
    /// `+0300`.
    NoColon,
    /// `+03`.
    HoursOnly,
    /// Without a zone.
    NoZone,
    /// With a comma before the fraction.
    Comma,
    /// Milliseconds since 1970, as a number.
    Number,
}

/// Begins what tells a record from all others, in a member that every reader keeps.
pub(crate) const MARK: &str = "mark-";

/// How many digits follow.
pub(crate) const MARK_DIGITS: usize = 6;

impl Vendor {
    pub(crate) const ALL: [Vendor; 5] = [
        Vendor::Mail,
        Vendor::Disk,
        Vendor::Audit,
        Vendor::Port,
        Vendor::Terraform,
    ];

    /// The name of the stream.
    pub(crate) fn stream(self) -> &'static str {
        match self {
            Vendor::Mail => "yandex-mail",
            Vendor::Disk => "yandex-disk",
            Vendor::Audit => "yandex-audit",
            Vendor::Port => "port",
            Vendor::Terraform => "tfc",
        }
    }

    /// The prefix of its variables.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Vendor::Mail => "MAIL",
            Vendor::Disk => "DISK",
            Vendor::Audit => "AUDIT",
            Vendor::Port => "PORT",
            Vendor::Terraform => "TFC",
        }
    }

    /// How its pages follow each other.
    pub(crate) fn paging(self) -> Paging {
        match self {
            Vendor::Mail | Vendor::Disk | Vendor::Audit => Paging::Tokens,
            Vendor::Port => Paging::None,
            Vendor::Terraform => Paging::Numbers,
        }
    }

    /// The steps of its times, in milliseconds.
    pub(crate) fn grain(self) -> i64 {
        if self == Vendor::Disk { 1_000 } else { 1 }
    }

    /// The variables that point the program at it.
    pub(crate) fn variables(self, address: &str) -> Vec<(&'static str, String)> {
        let own = |name: &'static str, value: &str| (name, value.to_owned());
        match self {
            Vendor::Mail | Vendor::Disk | Vendor::Audit => vec![
                own("OAUTH_TOKEN_ARG", "invented"),
                own("ORGANIZATION_ID_ARG", "1000001"),
                own("YANDEX_API_URL", address),
                own("YANDEX_CLOUD_API_URL", address),
            ],
            Vendor::Port => vec![own("PORT_API_TOKEN", "invented"), own("PORT_API_URL", address)],
            Vendor::Terraform => vec![own("TFC_ORG_TOKEN", "invented"), own("TFC_API_URL", address)],
        }
    }

    fn path(self) -> &'static str {
        match self {
            Vendor::Mail => "/security/v1/org/1000001/audit_log/mail",
            Vendor::Disk => "/security/v1/org/1000001/audit_log/disk",
            Vendor::Audit => "/v1/auditlog/organizations/1000001/events",
            Vendor::Port => "/v1/audit-log",
            Vendor::Terraform => "/api/v2/organization/audit-trail",
        }
    }

    /// Reads the target of a request; `None` if it is none of this vendor's.
    pub(crate) fn read(self, target: &str) -> Option<Asked> {
        let url = url::Url::parse("http://localhost").ok()?.join(target).ok()?;
        let value = |name: &str| {
            url.query_pairs()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        let time = |name: &str| Some(value(name)?.parse::<DateTime<Utc>>().ok()?.timestamp_millis());
        let [from, to, size, page] = match self {
            Vendor::Mail | Vendor::Disk => ["afterDate", "beforeDate", "pageSize", "pageToken"],
            Vendor::Audit => ["started_at", "ended_at", "count", "iteration_key"],
            Vendor::Port => ["from", "to", "limit", ""],
            Vendor::Terraform => ["since", "", "page[size]", "page[number]"],
        };
        let page = match (self.paging(), value(page)) {
            (Paging::Numbers, Some(number)) => AskedPage::Number(number.parse().ok().filter(|number| *number > 0)?),
            (Paging::Tokens, Some(token)) => AskedPage::Token(token),
            _ => AskedPage::First,
        };
        let asked = Asked {
            from: time(from)?,
            to: time(to),
            size: value(size)?.parse().ok()?,
            page,
        };
        let is_bounded = self.paging() == Paging::Numbers || asked.to.is_some();
        (url.path() == self.path() && is_bounded && asked.size > 0).then_some(asked)
    }

    /// A time as the vendor writes it.
    fn time(self, milliseconds: i64, form: TimeForm) -> String {
        let time = DateTime::from_timestamp_millis(milliseconds).unwrap();
        let millis = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let three_hours_on = millis(DateTime::from_timestamp_millis(milliseconds + 3 * 3_600_000).unwrap());
        let local = three_hours_on.trim_end_matches('Z');
        match form {
            TimeForm::Number => milliseconds.to_string(),
            TimeForm::NoColon => format!("\"{local}+0300\""),
            TimeForm::HoursOnly => format!("\"{local}+03\""),
            TimeForm::NoZone => format!("\"{}\"", millis(time).trim_end_matches('Z')),
            TimeForm::Comma => format!("\"{}\"", millis(time).replace('.', ",")),
            TimeForm::Usual => match self {
                Vendor::Mail | Vendor::Disk => format!("\"{}\"", time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
                Vendor::Audit => format!("\"{}+00:00\"", time.format("%Y-%m-%dT%H:%M:%S%.6f")),
                Vendor::Port if milliseconds % 3 == 0 => format!("\"{local}+03:00\""),
                Vendor::Port | Vendor::Terraform => format!("\"{}\"", millis(time)),
            },
        }
    }

    /// The JSON of a record; `is_changed` if the name of its user has been filled in since.
    pub(crate) fn record(self, record: &Record, form: TimeForm, is_changed: bool) -> Vec<u8> {
        let number = record.number;
        let (time, mark) = (
            self.time(record.shown_at, form),
            format!("{MARK}{number:0MARK_DIGITS$}"),
        );
        let name = if is_changed { "Анна Петрова" } else { "" };
        let mut text = match self {
            Vendor::Mail => format!(
                r#"{{"eventType":"message_receive","date":{time},"orgId":1000001,"userUid":"1130000000000001","userLogin":"a.petrova@example.org","userName":"{name}","requestId":"","uniqId":"{id}","source":"server","labels":[],"subject":"{mark}","clientIp":"2001:db8::61"}}"#,
                id = 166_572_375_167_000_000_000_u128 + number as u128,
            ),
            Vendor::Disk => format!(
                r#"{{"eventType":"fs-store","date":{time},"orgId":1000001,"userUid":"1130000000000001","userLogin":"a.petrova@example.org","userName":"{name}","path":"/disk/{mark} ","size":"0","uniqId":"{id}","clientIp":"192.0.2.7"}}"#,
                id = 537_962_884_445_000_000_000_u128 + number as u128,
            ),
            Vendor::Audit => format!(
                r#"{{"event":{{"occurred_at":{time},"type":"id_cookie.set","uid":"1130000000000001","idempotency_id":"{mark}","meta":{{}}}},"user_login":"a.petrova@example.org","user_name":"{name}"}}"#,
            ),
            Vendor::Port => {
                // Of a record without an identifier the content is all that tells it from others.
                let identifier = if number % 7 == 3 {
                    String::new()
                } else {
                    format!(r#""identifier":"event_{number}","#)
                };
                format!(
                    r#"{{{identifier}"action":"UPDATE","resourceType":"entity","status":"SUCCESS","trigger":{{"at":{time},"by":{{"orgId":"org_1","userId":"{name}"}},"origin":"UI"}},"context":{{"blueprint":"service","entity":"{mark}"}},"diff":{{"before":null,"after":null}}}}"#,
                )
            }
            Vendor::Terraform => format!(
                r#"{{"id":"ae66e491-db59-457c-8445-{number:012}","version":"0","type":"Resource","timestamp":{time},"auth":{{"accessor_id":"user-1","description":"{name}","type":"Client","impersonator_id":null,"organization_id":"org-1"}},"request":{{"id":null}},"resource":{{"id":"{mark}","type":"authentication_token","action":"create","meta":null}}}}"#,
            ),
        };
        if record.padding > 0 {
            let end = text.pop();
            let padding = "x".repeat(record.padding);
            let _ = write!(text, r#","padding":"{padding}""#);
            text.extend(end);
        }
        damaged(text, record.damage)
    }

    /// The body of an answer.
    pub(crate) fn body(self, records: &[Vec<u8>], paged: &Paged) -> Vec<u8> {
        let (list, token) = match self {
            Vendor::Mail | Vendor::Disk => ("events", "nextPageToken"),
            Vendor::Audit => ("items", "iteration_key"),
            Vendor::Port => ("audits", ""),
            Vendor::Terraform => ("data", ""),
        };
        let first = if self == Vendor::Port { r#""ok":true,"# } else { "" };
        let mut body = format!(r#"{{{first}"{list}":["#).into_bytes();
        body.extend(records.join(&b','));
        body.push(b']');
        body.extend(
            match paged {
                Paged::Nothing | Paged::Token(NextToken::No(NoToken::Missing)) => String::new(),
                Paged::Token(NextToken::No(NoToken::Empty)) => format!(r#","{token}":"""#),
                Paged::Token(NextToken::No(NoToken::Null)) => format!(r#","{token}":null"#),
                Paged::Token(NextToken::No(NoToken::OtherName)) => r#","next_key":"1_1_1""#.to_owned(),
                Paged::Token(NextToken::Token(value)) => format!(r#","{token}":"{value}""#),
                Paged::Numbers(pagination) => pagination_json(*pagination),
            }
            .into_bytes(),
        );
        body.push(b'}');
        body
    }

    /// How the service says that there is no further page, where nothing is odd.
    pub(crate) fn no_token(self) -> NoToken {
        if self == Vendor::Audit {
            NoToken::Null
        } else {
            NoToken::Empty
        }
    }

    /// The body of an error answer.
    pub(crate) fn error(self, status: u16, message: &str) -> Vec<u8> {
        match self {
            Vendor::Mail | Vendor::Disk => format!(r#"{{"code":5,"message":"{message}","details":[]}}"#),
            Vendor::Audit => format!(r#"{{"message":"{message}","error":"{message}"}}"#),
            Vendor::Port => format!(r#"{{"ok":false,"error":"error","message":"{message}"}}"#),
            Vendor::Terraform => format!(r#"{{"errors":[{{"status":"{status}","title":"{message}"}}]}}"#),
        }
        .into_bytes()
    }
}

/// The same record with this damage at its end.
fn damaged(mut text: String, damage: Option<Damage>) -> Vec<u8> {
    let odd: &[u8] = match damage {
        None => return text.into_bytes(),
        Some(Damage::BrokenUtf8) => b",\"odd\":\"a\xffb\"}",
        Some(Damage::ControlCharacter) => b",\"odd\":\"a\x01b\"}",
        Some(Damage::NotANumber) => b",\"odd\":NaN}",
        Some(Damage::BareQuote) => b",\"odd\":\"a\"b\"}",
        Some(Damage::WrongBracket) => b",\"odd\":[1}",
        Some(Damage::StrayBracket) => b"}]",
    };
    text.pop();
    [text.as_bytes(), odd].concat()
}

fn pagination_json(pagination: Pagination) -> String {
    let Pagination {
        current,
        next,
        pages,
        count,
    } = pagination;
    let previous = if current > 1 {
        (current - 1).to_string()
    } else {
        "null".to_owned()
    };
    let next = match next {
        NextPage::Number(number) => format!(r#""next_page":{number},"#),
        NextPage::Null => r#""next_page":null,"#.to_owned(),
        NextPage::Missing => String::new(),
    };
    let pages = pages.map_or_else(String::new, |pages| format!(r#""total_pages":{pages},"#));
    let count = count.map_or_else(String::new, |count| format!(r#""total_count":{count},"#));
    format!(r#","pagination":{{{next}{pages}{count}"current_page":{current},"prev_page":{previous}}}"#)
}

#[test]
fn every_record_and_every_answer_of_every_vendor_is_json_unless_it_is_damaged() {
    let record = &super::feed::Feed::even(1, 1).records(1_750_000_000_000, 1)[0];
    for vendor in Vendor::ALL {
        for form in [TimeForm::Usual, TimeForm::Number, TimeForm::NoZone] {
            let text = vendor.record(record, form, true);
            let paged = Paged::Numbers(Pagination::of(None, (1, 10), (1, 1)));
            let body = vendor.body(&[text.clone(), text], &paged);
            serde_json::from_slice::<serde_json::Value>(&body).unwrap();
        }
        let damaged = Record {
            damage: Some(Damage::NotANumber),
            ..record.clone()
        };
        let text = vendor.record(&damaged, TimeForm::Usual, false);
        serde_json::from_slice::<serde_json::Value>(&text).unwrap_err();
    }
}
