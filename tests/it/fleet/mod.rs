//! A fleet: members in processes of their own that share organizations over a broker, and everything that can happen to them.

mod ledger;
mod stand_in;
mod storm;
mod trial;
