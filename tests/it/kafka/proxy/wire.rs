//! Requests and answers in the layouts of <https://kafka.apache.org/protocol.html> that are not flexible.

/// Reads a request from front to back.
pub(super) struct Reader<'a>(&'a [u8]);

/// The head of every request.
pub(super) struct Head {
    pub(super) api: i16,
    pub(super) version: i16,
    pub(super) correlation: [u8; 4],
    pub(super) client: String,
}

impl<'a> Reader<'a> {
    /// The head of a request, and what stands behind it.
    pub(super) fn of(frame: &'a [u8]) -> (Head, Self) {
        let mut reader = Self(frame);
        let (api, version) = (reader.int16(), reader.int16());
        let correlation = reader.take(4).try_into().unwrap();
        let client = reader.nullable().unwrap_or_default();
        let head = Head {
            api,
            version,
            correlation,
            client,
        };
        (head, reader)
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn int8(&mut self) -> i8 {
        i8::from_be_bytes(self.take(1).try_into().unwrap())
    }

    pub(super) fn int16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    pub(super) fn int32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    pub(super) fn nullable(&mut self) -> Option<String> {
        let length = usize::try_from(self.int16()).ok()?;
        Some(String::from_utf8(self.take(length).to_vec()).unwrap())
    }

    pub(super) fn string(&mut self) -> String {
        self.nullable().unwrap()
    }

    pub(super) fn bytes(&mut self) -> Vec<u8> {
        let length = usize::try_from(self.int32()).unwrap_or(0);
        self.take(length).to_vec()
    }

    pub(super) fn array<T>(&mut self, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.int32()).map(|_| read(self)).collect()
    }
}

/// Writes an answer, or a request that is passed on.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// An answer to the request with this correlation id, from the time that it was throttled.
    pub(super) fn answer(head: &Head) -> Self {
        Self(head.correlation.to_vec()).int32(0)
    }

    /// The same as far as the correlation id: that of a version which has no throttling.
    pub(super) fn bare(head: &Head) -> Self {
        Self(head.correlation.to_vec())
    }

    pub(super) fn int8(mut self, number: i8) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn int16(mut self, number: i16) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn int32(mut self, number: i32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn string(self, text: &str) -> Self {
        let length = i16::try_from(text.len()).unwrap();
        self.int16(length).raw(text.as_bytes())
    }

    pub(super) fn nullable(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.string(text),
            None => self.int16(-1),
        }
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let length = i32::try_from(bytes.len()).unwrap();
        self.int32(length).raw(bytes)
    }

    pub(super) fn array<T>(self, items: &[T], write: impl FnMut(Self, &T) -> Self) -> Self {
        let length = i32::try_from(items.len()).unwrap();
        items.iter().fold(self.int32(length), write)
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// What was written.
    pub(super) fn end(self) -> Vec<u8> {
        self.0
    }
}
