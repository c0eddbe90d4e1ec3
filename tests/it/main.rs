//! The program from outside: the real binary, real sockets, real files. One binary, so that it is linked once.

#[cfg(test)]
mod check;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod days;
#[cfg(test)]
mod line;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod port;
#[cfg(test)]
mod ranges;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod showing;
#[cfg(test)]
mod status;
#[cfg(test)]
mod statuses;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod support;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod terraform;
#[cfg(test)]
mod verify;
#[cfg(test)]
mod yandex;
#[cfg(test)]
mod yandex_audit;
