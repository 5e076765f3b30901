//! Requests and responses on a stream: one message each way, the end of the stream its end, sizes capped by protocol.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};
use rustdht_core::{NetId, Refusal};
use rustdht_wire::protocol::{Protocol, Request, Response};

/// A protocol with its name on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Rpc {
    name: StreamProtocol,
    protocol: Protocol,
}

impl Rpc {
    pub(crate) fn new(protocol: Protocol, net: &NetId) -> Result<Self, String> {
        let name = StreamProtocol::try_from_owned(protocol.id(net)).map_err(|error| error.to_string())?;
        Ok(Self { name, protocol })
    }
}

impl AsRef<str> for Rpc {
    fn as_ref(&self) -> &str {
        self.name.as_ref()
    }
}

/// Reads and writes messages of one protocol.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Codec;

async fn read(io: &mut (impl AsyncRead + Unpin + Send), most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io.take(most as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message above its bound"));
    }
    Ok(bytes)
}

fn invalid(refusal: Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, refusal)
}

impl request_response::Codec for Codec {
    type Protocol = Rpc;
    type Request = Request;
    type Response = Response;

    async fn read_request<T>(&mut self, rpc: &Rpc, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        let bytes = read(io, rpc.protocol.max_request_bytes()).await?;
        Request::decode(rpc.protocol, &bytes).map_err(invalid)
    }

    async fn read_response<T>(&mut self, rpc: &Rpc, io: &mut T) -> io::Result<Response>
    where
        T: AsyncRead + Unpin + Send,
    {
        let bytes = read(io, rpc.protocol.max_response_bytes()).await?;
        Response::decode(rpc.protocol, &bytes).map_err(invalid)
    }

    async fn write_request<T>(&mut self, _: &Rpc, io: &mut T, request: Request) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&request.encode()).await
    }

    async fn write_response<T>(&mut self, _: &Rpc, io: &mut T, response: Response) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&response.encode()).await
    }
}

#[cfg(test)]
mod tests {
    use futures::{executor::block_on, io::Cursor};
    use libp2p::request_response::Codec as _;
    use rustdht_wire::protocol::MAX_FETCH_RECORDS;

    use super::*;

    const NET: NetId = NetId([1; 32]);

    #[test]
    fn a_message_above_its_bound_is_not_read_to_its_end() {
        let rpc = Rpc::new(Protocol::Fetch, &NET).unwrap();
        let most = Protocol::Fetch.max_request_bytes();
        let mut stream = Cursor::new(vec![0; most * 3]);
        let error = block_on(Codec.read_request(&rpc, &mut stream)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(stream.position() <= most as u64 + 1);
    }

    #[test]
    fn a_message_of_another_protocol_is_refused() {
        let rpc = Rpc::new(Protocol::Put, &NET).unwrap();
        let request = Request::Fetch { records: vec![rustdht_core::RecordId([1; 32]); MAX_FETCH_RECORDS] };
        let mut stream = Cursor::new(request.encode());
        assert!(block_on(Codec.read_request(&rpc, &mut stream)).is_err());
        let rpc = Rpc::new(Protocol::Fetch, &NET).unwrap();
        let mut stream = Cursor::new(request.encode());
        assert_eq!(block_on(Codec.read_request(&rpc, &mut stream)).unwrap(), request);
    }
}
