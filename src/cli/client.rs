//! Asks the API: one connection for each question, so that a restart of serin costs one answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::address::Address;
use super::exit::Failure;
use crate::admin::api;

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest answer: thousands of services.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Asks one serin.
#[derive(Debug)]
pub(super) struct Client {
    address: Address,
    token_file: Option<PathBuf>,
}

/// A status and a body.
type Answer = (u16, Bytes);

impl Client {
    pub(super) const fn new(address: Address, token_file: Option<PathBuf>) -> Self {
        Self { address, token_file }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    /// An answer that is no JSON.
    pub(super) async fn get_text(&self, path: &str) -> Result<String, Failure> {
        let (status, body) = self.answer(Method::GET, path, None).await?;
        if (200..300).contains(&status) {
            return Ok(String::from_utf8_lossy(&body).into_owned());
        }
        Err(refused(status, &body))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        understood(self.answer(method, path, body).await?)
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let request = self.request(method, path, body)?;
        let unreachable =
            |why: String| Failure::Unreachable { address: self.address.to_string(), why };
        let answer = tokio::time::timeout(LIMIT, self.exchange(request)).await;
        let answer =
            answer.map_err(|_| unreachable(format!("no answer within {} s", LIMIT.as_secs())))?;
        answer.map_err(|error| unreachable(root(&*error)))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.authority())
            .header(USER_AGENT, concat!("serin/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close");
        if let Some(name) = actor() {
            request = request.header(api::ACTOR, name);
        }
        if let Some(path) = &self.token_file {
            request = request.header(AUTHORIZATION, bearer(path)?);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        request
            .body(Full::from(body))
            .map_err(|error| Failure::Usage(format!("this cannot be asked: {error}")))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
        match &self.address {
            Address::Tcp { host, port } => {
                exchange(TcpStream::connect((host.as_str(), *port)).await?, request).await
            }
            Address::Unix(path) => exchange(UnixStream::connect(path).await?, request).await,
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Error> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let ask = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(ask, connection);
    tokio::select! {
        answer = &mut ask => answer,
        ended = &mut connection => {
            ended?;
            ask.await
        }
    }
}

/// What an answer says.
fn understood((status, body): Answer) -> Result<Value, Failure> {
    if !(200..300).contains(&status) {
        return Err(refused(status, &body));
    }
    serde_json::from_slice(&body)
        .map_err(|_| Failure::Other("this answer is not serin's: no JSON".to_owned()))
}

/// Why there is no answer.
fn refused(status: u16, body: &[u8]) -> Failure {
    let problem = serde_json::from_slice(body).unwrap_or(Value::Null);
    let detail = problem.get("detail").and_then(Value::as_str).map_or_else(
        || format!("this answer is not serin's: status {status}; is --admin right?"),
        str::to_owned,
    );
    Failure::Refused { status, detail, problem }
}

/// Gives an answer its type.
pub(super) fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|error| {
        Failure::Other(format!("cannot read serin's answer; is it of another version? {error}"))
    })
}

/// Who asks, for the history. What one may do depends on the token alone.
fn actor() -> Option<HeaderValue> {
    let name = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let name = name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "cli".to_owned());
    HeaderValue::from_bytes(name.as_bytes()).ok()
}

/// Shows the token. It is read for each question, so that a wait outlives a new token.
fn bearer(path: &Path) -> Result<HeaderValue, Failure> {
    let bad = |why: String| Failure::Usage(format!("the token in {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(bad("the file is empty".to_owned()));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| bad("it has more than one line, or is not text".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The cause that says the most: what the system said.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client(token_file: Option<PathBuf>) -> Client {
        Client::new("http://serin.internal:9900".parse().unwrap(), token_file)
    }

    #[test]
    fn a_request_says_whom_it_asks_and_shows_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "s3cret\n").unwrap();
        let ask = client(Some(token.clone())).request(Method::POST, "/x", Some(&json!({})));
        let request = ask.unwrap();
        assert_eq!(request.headers()[HOST], "serin.internal:9900");
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer s3cret");
        std::fs::write(&token, "\n").unwrap();
        let failure = client(Some(token)).request(Method::GET, "/x", None).unwrap_err();
        assert!(matches!(failure, Failure::Usage(_)), "{failure:?}");
    }

    #[test]
    fn answers_are_understood() {
        let of = |status, body: &'static str| understood((status, Bytes::from(body)));
        assert_eq!(of(200, "{\"a\":1}"), Ok(json!({ "a": 1 })));
        assert!(matches!(of(200, "<html>"), Err(Failure::Other(_))));
        let refused = of(409, "{\"detail\":\"one runs\"}").unwrap_err();
        assert_eq!((refused.to_string().as_str(), refused.code()), ("one runs", 1));
        let strange = of(502, "<html>").unwrap_err();
        assert!(strange.to_string().contains("status 502"), "{strange}");
    }

    #[tokio::test]
    async fn who_does_not_answer_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let client = Client::new(format!("http://{address}").parse().unwrap(), None);
        let failure = client.get("/v1/services").await.unwrap_err();
        assert!(failure.may_pass());
        assert!(failure.to_string().contains(&address.to_string()), "{failure}");
    }
}
