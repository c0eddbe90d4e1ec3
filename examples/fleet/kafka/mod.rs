//! The broker of the tests, in a process of its own.

#![allow(dead_code, reason = "of what the tests need, this example needs a part")]

#[path = "../../../tests/it/kafka/broker.rs"]
pub(crate) mod broker;
#[path = "../../../tests/it/kafka/proxy/mod.rs"]
mod proxy;
#[path = "../../../tests/it/kafka/servant.rs"]
mod servant;
