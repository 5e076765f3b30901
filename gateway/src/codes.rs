//! The codes that only HTTP has, beside those of `rustdht_core::Code`.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)*) => {
        /// A code of a problem that HTTP itself, not the graph, is the reason of. Each has a page in `docs/errors/`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum HttpCode { $($(#[$doc])* $name,)* }

        impl HttpCode {
            /// Every code, by status.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it stands in problems.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Its HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// The path of a file or name is none, or its CID is none.
    BadPath = "bad_path", 400;
    /// The body ended before its length or its last chunk.
    BodyIncomplete = "body_incomplete", 400;
    /// No token where one is needed, or a wrong one.
    Unauthenticated = "unauthenticated", 401;
    /// A web page of another origin asked for a change.
    ForbiddenOrigin = "forbidden_origin", 403;
    /// The token is good, but not for this.
    InsufficientScope = "insufficient_scope", 403;
    /// The gateway makes no accounts for strangers, or the invite code is used up.
    RegistrationClosed = "registration_closed", 403;
    /// Nothing is here under that name.
    NotFound = "not_found", 404;
    /// The resource exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405;
    /// What is there cannot be had in the form that was asked for.
    NotAcceptable = "not_acceptable", 406;
    /// The body came too slowly.
    BodyTimeout = "body_timeout", 408;
    /// Something of that name is here already.
    Conflict = "conflict", 409;
    /// The field is of a kind that editors do not open.
    NotADocument = "not_a_document", 409;
    /// The operator does not serve it.
    Denied = "denied", 410;
    /// `If-Match` or `If-None-Match` does not hold.
    PreconditionFailed = "precondition_failed", 412;
    /// The body's type is not one that this resource takes.
    UnsupportedMediaType = "unsupported_media_type", 415;
    /// The range lies outside the file.
    RangeNotSatisfiable = "range_not_satisfiable", 416;
    /// The host is not one of this gateway, or does not show this.
    Misdirected = "misdirected", 421;
    /// The node would not be what the schema of its type asks for.
    SchemaViolation = "schema_violation", 422;
    /// Another request is at it.
    Locked = "locked", 423;
    /// Too many attempts in a short time.
    RateLimited = "rate_limited", 429;
    /// The law forbids the operator to serve it.
    DeniedByLaw = "denied_by_law", 451;
    /// A body does not have the hash that it was sent with (tus).
    ChecksumMismatch = "checksum_mismatch", 460;
    /// The website's file of redirects is not one.
    BadRedirects = "bad_redirects", 500;
    /// The name stands for nothing that is known.
    NameUnresolved = "name_unresolved", 500;
    /// The account keeps as much as it may.
    QuotaExceeded = "quota_exceeded", 507;
    /// The contract has it, this version does not yet.
    NotImplemented = "not_implemented", 501;
    /// Too much is waiting; try again.
    Overloaded = "overloaded", 503;
    /// The store, the network or the node itself cannot serve now.
    Unavailable = "unavailable", 503;
    /// No other member answered in time.
    TimedOut = "timed_out", 504;
}
