//! DNS messages (RFC 1035, EDNS of RFC 6891): reads one question, writes one answer.
//!
//! Only what a server needs that answers from a table and hands everything else on: names are not
//! decompressed anywhere but in the question, where compression cannot occur. Every read is bounded.

use std::net::Ipv4Addr;

/// Octets of a header.
const HEADER: usize = 12;
/// The largest answer over UDP for an asker that names no size.
pub const PLAIN_UDP: usize = 512;
/// The largest answer over UDP whatever the asker names: no fragments on usual links.
const MOST_UDP: usize = 1232;
/// The largest message over TCP.
pub const MOST_TCP: usize = 65_535;
/// A name's octets on the wire.
const MOST_NAME: usize = 255;
const LABEL_MOST: u8 = 63;

const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_OPT: u16 = 41;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;

const FLAG_RESPONSE: u16 = 0x8000;
const FLAG_AUTHORITATIVE: u16 = 0x0400;
const FLAG_TRUNCATED: u16 = 0x0200;
const FLAG_RECURSION_DESIRED: u16 = 0x0100;
const FLAG_RECURSION_AVAILABLE: u16 = 0x0080;
const OPCODE: u16 = 0x7800;

/// An answer's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Ok = 0,
    Malformed = 1,
    Failed = 2,
    NoSuchName = 3,
    NotImplemented = 4,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub id: u16,
    recursion_desired: bool,
    /// In lower case, labels joined by dots, none at the end. Absent: no name that could be ours.
    pub name: Option<String>,
    kind: u16,
    class: u16,
    /// The question as it came, so that its letters' case is echoed.
    question: Vec<u8>,
    /// The size that the asker can take over UDP, when it speaks EDNS.
    udp_size: Option<u16>,
}

/// What a client sent that is no question we could pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not even a header, or itself an answer: stay silent.
    Silent,
    Code {
        id: u16,
        code: Code,
    },
}

impl Query {
    /// Reads a question.
    ///
    /// # Errors
    /// How to refuse what is none.
    pub fn read(bytes: &[u8]) -> Result<Query, Refusal> {
        let mut reader = Reader { bytes, at: 0 };
        let (Some(id), Some(flags)) = (reader.u16(), reader.u16()) else {
            return Err(Refusal::Silent);
        };
        if bytes.len() < HEADER || flags & FLAG_RESPONSE != 0 {
            return Err(Refusal::Silent);
        }
        if flags & OPCODE != 0 {
            return Err(Refusal::Code { id, code: Code::NotImplemented });
        }
        let malformed = Refusal::Code { id, code: Code::Malformed };
        let mut counts = [0u16; 4];
        for count in &mut counts {
            *count = reader.u16().ok_or(malformed)?;
        }
        let [questions, answers, authorities, additional] = counts;
        if questions != 1 || answers != 0 || authorities != 0 {
            return Err(malformed);
        }
        let start = reader.at;
        let name = reader.name().ok_or(malformed)?;
        let kind = reader.u16().ok_or(malformed)?;
        let class = reader.u16().ok_or(malformed)?;
        let question = bytes.get(start..reader.at).ok_or(malformed)?.to_vec();
        Ok(Query {
            id,
            recursion_desired: flags & FLAG_RECURSION_DESIRED != 0,
            name,
            kind,
            class,
            question,
            udp_size: if additional == 0 { None } else { reader.edns_size() },
        })
    }

    /// The name, if a table of Internet addresses can know it.
    #[must_use]
    pub fn internet_name(&self) -> Option<&str> {
        if self.class == CLASS_IN { self.name.as_deref() } else { None }
    }

    /// Octets of the largest answer over UDP.
    #[must_use]
    pub fn udp_limit(&self) -> usize {
        usize::from(self.udp_size.unwrap_or(0)).clamp(PLAIN_UDP, MOST_UDP)
    }

    /// An answer without records.
    #[must_use]
    pub fn answer_code(&self, code: Code) -> Vec<u8> {
        self.write(code, 0, &[], false)
    }

    /// The addresses of a name that is ours. A question for anything but IPv4 addresses gets an
    /// empty answer: the name exists and has nothing of that kind. What does not fit into `limit`
    /// octets is left out, and the answer says so.
    #[must_use]
    pub fn answer_addresses(&self, addresses: &[Ipv4Addr], limit: usize) -> Vec<u8> {
        if self.kind != TYPE_A && self.kind != TYPE_ANY {
            return self.answer_code(Code::Ok);
        }
        let record = |address: &Ipv4Addr| record(TYPE_A, &address.octets());
        self.answer_records(addresses.iter().map(record), limit)
    }

    /// The name behind an address.
    #[must_use]
    pub fn answer_pointer(&self, name: &str, limit: usize) -> Vec<u8> {
        let mut target = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            let Ok(length) = u8::try_from(label.len()) else {
                return self.answer_code(Code::Failed);
            };
            if length > LABEL_MOST {
                return self.answer_code(Code::Failed);
            }
            target.push(length);
            target.extend_from_slice(label.as_bytes());
        }
        target.push(0);
        if target.len() > MOST_NAME {
            return self.answer_code(Code::Failed);
        }
        if self.kind != TYPE_PTR && self.kind != TYPE_ANY {
            return self.answer_code(Code::Ok);
        }
        self.answer_records([record(TYPE_PTR, &target)].into_iter(), limit)
    }

    fn answer_records(&self, records: impl Iterator<Item = Vec<u8>>, limit: usize) -> Vec<u8> {
        let fixed = HEADER + self.question.len() + self.edns().len();
        let mut body = Vec::new();
        let mut count = 0u16;
        let mut truncated = false;
        for record in records {
            if fixed + body.len() + record.len() > limit || count == u16::MAX {
                truncated = true;
                break;
            }
            body.extend_from_slice(&record);
            count += 1;
        }
        self.write(Code::Ok, count, &body, truncated)
    }

    fn write(&self, code: Code, count: u16, records: &[u8], truncated: bool) -> Vec<u8> {
        let mut flags = FLAG_RESPONSE | FLAG_AUTHORITATIVE | FLAG_RECURSION_AVAILABLE;
        if self.recursion_desired {
            flags |= FLAG_RECURSION_DESIRED;
        }
        if truncated {
            flags |= FLAG_TRUNCATED;
        }
        let edns = self.edns();
        let mut out = header(self.id, flags, code, [1, count, 0, u16::from(!edns.is_empty())]);
        out.extend_from_slice(&self.question);
        out.extend_from_slice(records);
        out.extend_from_slice(&edns);
        out
    }

    fn edns(&self) -> Vec<u8> {
        if self.udp_size.is_none() {
            return Vec::new();
        }
        let mut out = vec![0];
        out.extend_from_slice(&TYPE_OPT.to_be_bytes());
        out.extend_from_slice(&u16::try_from(MOST_UDP).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&[0; 6]);
        out
    }
}

/// The answer to something that is no question.
#[must_use]
pub fn refuse(id: u16, code: Code) -> Vec<u8> {
    header(id, FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE, code, [0; 4])
}

/// Whether `bytes` is an answer to the question in `query`: same number, same question.
#[must_use]
pub fn answers(bytes: &[u8], query: &[u8]) -> bool {
    let Ok(asked) = Query::read(query) else { return false };
    let end = HEADER + asked.question.len();
    bytes.len() >= end
        && bytes[..2] == query[..2]
        && bytes[2] & 0x80 != 0
        && bytes[4..6] == [0, 1]
        && bytes[HEADER..end].eq_ignore_ascii_case(&asked.question)
}

/// Whether an answer says that it is not whole.
#[must_use]
pub fn is_truncated(bytes: &[u8]) -> bool {
    bytes.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// An answer as it is when only header and question are left of it, marked as not whole.
#[must_use]
pub fn truncate(bytes: &[u8]) -> Vec<u8> {
    let mut reader = Reader { bytes, at: HEADER };
    if reader.name().is_none() || reader.u16().is_none() || reader.u16().is_none() {
        return bytes.get(..HEADER).map(<[u8]>::to_vec).unwrap_or_default();
    }
    let mut out = bytes[..reader.at].to_vec();
    out[2] |= 0x02;
    out[6..HEADER].fill(0);
    out
}

fn header(id: u16, flags: u16, code: Code, counts: [u16; 4]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&(flags | code as u16).to_be_bytes());
    for count in counts {
        out.extend_from_slice(&count.to_be_bytes());
    }
    out
}

/// A record of the question's own name, time to live 0: nobody may keep what can change at once.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0xc0, 0x0c];
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(data);
    out
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn u8(&mut self) -> Option<u8> {
        let value = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(value)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    /// A name without compression. The outer `None`: malformed. The inner: well formed, but with
    /// octets in its labels that none of our names has.
    #[allow(clippy::option_option)] // two different absences, both explained above
    fn name(&mut self) -> Option<Option<String>> {
        let mut text = String::new();
        let mut ours = true;
        let mut octets = 1;
        loop {
            let length = self.u8()?;
            if length == 0 {
                break;
            }
            if length > LABEL_MOST {
                return None;
            }
            octets += 1 + usize::from(length);
            if octets > MOST_NAME {
                return None;
            }
            if !text.is_empty() {
                text.push('.');
            }
            for _ in 0..length {
                let byte = self.u8()?;
                if byte.is_ascii_graphic() && byte != b'.' {
                    text.push(char::from(byte.to_ascii_lowercase()));
                } else {
                    ours = false;
                }
            }
        }
        Some((ours && !text.is_empty()).then_some(text))
    }

    /// The size in an OPT record that follows the question directly, as every client sends it.
    fn edns_size(&mut self) -> Option<u16> {
        if self.u8()? != 0 || self.u16()? != TYPE_OPT {
            return None;
        }
        self.u16()
    }
}

#[cfg(test)]
mod tests;
