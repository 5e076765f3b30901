//! Delegation certificates: the owner of `~K`, or whom it allows to delegate, lets another key write there.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use rustdht_core::{CertificateId, Code, Field, NetId, PublicKey, Refusal, Soul, Space, Stamp, cbor, cbor::Item};

use crate::{
    SigningKey,
    header::VERSION,
    key::check_key,
    limits::{MAX_CERTIFICATE_BYTES, MAX_FIELDS, MAX_PREFIXES},
    refuse::{Within, malformed, refuse},
    signed::{self, Keys},
};

const LABEL: &str = "rustdht/cert/1";

/// The keys, in their canonical order.
pub(crate) const KEYS: [&str; 12] = [
    "v",
    "net",
    "nonce",
    "space",
    "fields",
    "issuer",
    "parent",
    "rights",
    "audience",
    "prefixes",
    "not_after",
    "not_before",
];

/// What the audience may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Write the prefixes.
    pub write: bool,
    /// Issue certificates that lie within this one.
    pub delegate: bool,
    /// Vouch for commits of others (in `~C`).
    pub endorse: bool,
}

/// What an issuer allows an audience, inside one space and for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The network.
    pub net: NetId,
    /// Who signs: K, or the audience of the parent.
    pub issuer: PublicKey,
    /// Who may.
    pub audience: PublicKey,
    /// `~K`, whole.
    pub space: Soul,
    /// Souls in the space: each stands for itself and what lies below it after a `/`. 1 to 16, ascending by bytes.
    pub prefixes: Vec<Soul>,
    /// Fields, ascending by bytes; at most 64, none: all.
    pub fields: Vec<Field>,
    /// What is allowed, at least one thing.
    pub rights: Rights,
    /// The first stamp.
    pub not_before: Stamp,
    /// The first stamp that is too late.
    pub not_after: Stamp,
    /// The issuer's own certificate; `None` when the issuer is K.
    pub parent: Option<CertificateId>,
    /// Random; tells certificates of equal content apart.
    pub nonce: [u8; 16],
}

/// A certificate with its signature; form, keys and signature are verified, its chain is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCertificate {
    id: CertificateId,
    certificate: Certificate,
    bytes: Bytes,
    signature: [u8; 64],
}

/// Certificates by id, as far as they are here.
pub type Certificates = HashMap<CertificateId, Arc<SignedCertificate>>;

impl Rights {
    const NAMES: [&str; 3] = ["delegate", "endorse", "write"];

    fn flags(self) -> [bool; 3] {
        [self.delegate, self.endorse, self.write]
    }

    /// Whether `other` allows all of this.
    #[must_use]
    pub fn within(self, other: Self) -> bool {
        self.flags().iter().zip(other.flags()).all(|(wanted, allowed)| !wanted || allowed)
    }

    fn write(self, out: &mut Vec<u8>) {
        let flags = self.flags();
        cbor::array(out, flags.iter().filter(|flag| **flag).count());
        Self::NAMES.iter().zip(flags).filter(|(_, flag)| *flag).for_each(|(name, _)| cbor::text(out, name));
    }

    fn read(item: &Item<'_>) -> Result<Self, Refusal> {
        let mut rights = Self::default();
        let names = texts(item, Self::NAMES.len())?;
        if names.is_empty() {
            return refuse(Code::OutOfRange, "a certificate gives at least one right");
        }
        for (at, name) in names.into_iter().enumerate() {
            match name {
                "write" => rights.write = true,
                "delegate" => rights.delegate = true,
                "endorse" => rights.endorse = true,
                _ => return Err(malformed("a right is write, delegate or endorse").within(&at.to_string())),
            }
        }
        Ok(rights)
    }
}

/// Texts that ascend by bytes, none twice.
fn texts<'a>(item: &Item<'a>, most: usize) -> Result<Vec<&'a str>, Refusal> {
    let items = item.elements()?;
    if items.len() > most {
        return refuse(Code::OutOfRange, "more than a certificate may list");
    }
    let mut texts: Vec<&str> = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let text = item.text().map_err(|refusal| refusal.within(&at.to_string()))?;
        if texts.last().is_some_and(|last| last.as_bytes() >= text.as_bytes()) {
            return Err(malformed("a list ascends by bytes without repeats").within(&at.to_string()));
        }
        texts.push(text);
    }
    Ok(texts)
}

/// Whether `soul` is `prefix` or lies below it after a `/`.
fn is_below(soul: &str, prefix: &str) -> bool {
    soul.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Certificate {
    /// The canonical DAG-CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        cbor::map(&mut out, KEYS.len());
        cbor::text(&mut out, "v");
        cbor::uint(&mut out, VERSION);
        cbor::text(&mut out, "net");
        cbor::bytes(&mut out, &self.net.0);
        cbor::text(&mut out, "nonce");
        cbor::bytes(&mut out, &self.nonce);
        cbor::text(&mut out, "space");
        cbor::text(&mut out, &self.space);
        cbor::text(&mut out, "fields");
        cbor::array(&mut out, self.fields.len());
        self.fields.iter().for_each(|field| cbor::text(&mut out, field));
        cbor::text(&mut out, "issuer");
        cbor::bytes(&mut out, &self.issuer.0);
        cbor::text(&mut out, "parent");
        match &self.parent {
            Some(parent) => cbor::cid(&mut out, &parent.to_cid()),
            None => cbor::null(&mut out),
        }
        cbor::text(&mut out, "rights");
        self.rights.write(&mut out);
        cbor::text(&mut out, "audience");
        cbor::bytes(&mut out, &self.audience.0);
        cbor::text(&mut out, "prefixes");
        cbor::array(&mut out, self.prefixes.len());
        self.prefixes.iter().for_each(|prefix| cbor::text(&mut out, prefix));
        cbor::text(&mut out, "not_after");
        cbor::uint(&mut out, self.not_after.0);
        cbor::text(&mut out, "not_before");
        cbor::uint(&mut out, self.not_before.0);
        out
    }

    /// Reads a certificate.
    ///
    /// # Errors
    /// `too_large` above 8 KiB; `malformed`; `bad_key` for an issuer, audience or owner that is none; `bad_soul` for a space
    /// that is not exactly `~K` and a prefix that is not in it; `bad_field`; `out_of_range` for a list outside its bounds
    /// and times that admit nothing.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_CERTIFICATE_BYTES {
            return refuse(Code::TooLarge, "a certificate is at most 8 KiB");
        }
        let keys = Keys::read(bytes, &KEYS)?;
        let prefixes = texts(keys.get("prefixes")?, MAX_PREFIXES).within("prefixes")?;
        let fields = texts(keys.get("fields")?, MAX_FIELDS).within("fields")?;
        let certificate = Self {
            net: NetId(keys.array("net")?),
            issuer: PublicKey(keys.array("issuer")?),
            audience: PublicKey(keys.array("audience")?),
            space: keys.text("space")?.parse().within("space")?,
            prefixes: parsed(&prefixes, "prefixes")?,
            fields: parsed(&fields, "fields")?,
            rights: Rights::read(keys.get("rights")?).within("rights")?,
            not_before: Stamp(keys.uint("not_before")?),
            not_after: Stamp(keys.uint("not_after")?),
            parent: read_parent(keys.get("parent")?)?,
            nonce: keys.array("nonce")?,
        };
        certificate.validate()?;
        Ok(certificate)
    }

    fn validate(&self) -> Result<(), Refusal> {
        check_key(&self.issuer).within("issuer")?;
        check_key(&self.audience).within("audience")?;
        match self.space.space() {
            Space::Owned(key) if self.space.placement_key() == self.space.as_str() => {
                check_key(&key).within("space")?;
            }
            _ => return refuse(Code::BadSoul, "the space of a certificate is exactly ~K").within("space"),
        }
        if self.prefixes.is_empty() || self.prefixes.len() > MAX_PREFIXES {
            return refuse(Code::OutOfRange, "a certificate has 1 to 16 prefixes").within("prefixes");
        }
        if let Some(at) = self.prefixes.iter().position(|prefix| prefix.placement_key() != self.space.as_str()) {
            return refuse(Code::BadSoul, "a prefix lies in the space").within(&format!("prefixes.{at}"));
        }
        if self.fields.len() > MAX_FIELDS {
            return refuse(Code::OutOfRange, "a certificate has at most 64 fields").within("fields");
        }
        if self.rights == Rights::default() {
            return refuse(Code::OutOfRange, "a certificate gives at least one right").within("rights");
        }
        if self.not_before >= self.not_after {
            return refuse(Code::OutOfRange, "a certificate ends after it begins").within("not_after");
        }
        Ok(())
    }

    /// Signs with the issuer's key. Prefixes and fields are put in order first.
    ///
    /// # Errors
    /// `bad_key` when `key` is not the issuer's; what [`Certificate::decode`] would refuse.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedCertificate, Refusal> {
        if key.public() != self.issuer {
            return refuse(Code::BadKey, "the issuer signs a certificate").within("issuer");
        }
        let mut certificate = self.clone();
        certificate.prefixes.sort_unstable();
        certificate.prefixes.dedup();
        certificate.fields.sort_unstable();
        certificate.fields.dedup();
        certificate.validate()?;
        let bytes = Bytes::from(certificate.encode());
        if bytes.len() > MAX_CERTIFICATE_BYTES {
            return refuse(Code::TooLarge, "a certificate is at most 8 KiB");
        }
        let signature = signed::sign(key, LABEL, &bytes);
        Ok(SignedCertificate { id: id_of(&bytes), certificate, bytes, signature })
    }

    /// Whether soul and field lie in what it is about. Rights and times are another question.
    #[must_use]
    pub fn covers(&self, soul: &Soul, field: &Field) -> bool {
        self.prefixes.iter().any(|prefix| is_below(soul, prefix))
            && (self.fields.is_empty() || self.fields.binary_search(field).is_ok())
    }

    /// Whether a commit of this stamp is within its times: `not_before <= stamp < not_after`.
    #[must_use]
    pub fn admits(&self, stamp: Stamp) -> bool {
        self.not_before <= stamp && stamp < self.not_after
    }

    /// Whether nothing here exceeds what `parent` allows, and its audience issued this.
    pub(crate) fn lies_within(&self, parent: &Self) -> Result<(), Refusal> {
        let fields = parent.fields.is_empty()
            || !self.fields.is_empty() && self.fields.iter().all(|field| parent.fields.binary_search(field).is_ok());
        let prefixes = self.prefixes.iter().all(|soul| parent.prefixes.iter().any(|prefix| is_below(soul, prefix)));
        let rules = [
            (self.issuer == parent.audience, "the issuer is the parent's audience"),
            (parent.rights.delegate, "the parent may delegate"),
            (self.space == parent.space, "the space is the parent's"),
            (prefixes, "the prefixes lie within the parent's"),
            (fields, "the fields are among the parent's"),
            (self.rights.within(parent.rights), "the rights are among the parent's"),
            (
                self.not_before >= parent.not_before && self.not_after <= parent.not_after,
                "the times lie within the parent's",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => refuse(Code::NotAuthorised, format!("a certificate breaks its chain: {rule}")),
            None => Ok(()),
        }
    }
}

fn parsed<T: std::str::FromStr<Err = Refusal>>(texts: &[&str], key: &str) -> Result<Vec<T>, Refusal> {
    let read =
        |(at, text): (usize, &&str)| text.parse().map_err(|refusal: Refusal| refusal.within(&format!("{key}.{at}")));
    texts.iter().enumerate().map(read).collect()
}

fn read_parent(item: &Item<'_>) -> Result<Option<CertificateId>, Refusal> {
    match item {
        Item::Null => Ok(None),
        item => read_id(item).map(Some).within("parent"),
    }
}

/// The certificate that a CID names.
pub(crate) fn read_id(item: &Item<'_>) -> Result<CertificateId, Refusal> {
    let id = if let Item::Cid(cid) = item { CertificateId::from_cid(cid) } else { None };
    id.ok_or_else(|| malformed("a certificate is named by a CID v1, dag-cbor, BLAKE3-256"))
}

/// The id of a certificate's bytes.
pub(crate) fn id_of(bytes: &[u8]) -> CertificateId {
    CertificateId(*blake3::hash(bytes).as_bytes())
}

/// The parent that a certificate's bytes name; nothing else of them is looked at.
pub(crate) fn parent_of(bytes: &[u8]) -> Result<Option<CertificateId>, Refusal> {
    if bytes.len() > MAX_CERTIFICATE_BYTES {
        return refuse(Code::TooLarge, "a certificate is at most 8 KiB");
    }
    read_parent(Keys::read(bytes, &KEYS)?.get("parent")?)
}

impl SignedCertificate {
    /// Reads a certificate and verifies its signature.
    ///
    /// # Errors
    /// As [`Certificate::decode`]; `malformed` for a signature that has not 64 bytes; `bad_signature`.
    pub fn decode(bytes: &[u8], signature: &[u8]) -> Result<Self, Refusal> {
        let signature = signature.try_into().map_err(|_| malformed("a signature has 64 bytes"))?;
        let certificate = Certificate::decode(bytes)?;
        signed::verify(&certificate.issuer, LABEL, bytes, &signature)?;
        Ok(Self { id: id_of(bytes), certificate, bytes: Bytes::copy_from_slice(bytes), signature })
    }

    /// DAG-CBOR `[certificate bytes, b64]`.
    #[must_use]
    pub fn encode_pair(&self) -> Vec<u8> {
        signed::write_pair(&self.bytes, &self.signature)
    }

    /// Reads what [`SignedCertificate::encode_pair`] wrote, and verifies it.
    ///
    /// # Errors
    /// As [`SignedCertificate::decode`].
    pub fn decode_pair(pair: &[u8]) -> Result<Self, Refusal> {
        let (bytes, signature) = signed::read_pair(pair)?;
        Self::decode(&bytes, &signature)
    }

    /// BLAKE3 of the bytes.
    #[must_use]
    pub const fn id(&self) -> CertificateId {
        self.id
    }

    /// What it says.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The signed bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The issuer's signature over `BLAKE3("rustdht/cert/1" || bytes)`.
    #[must_use]
    pub const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}
