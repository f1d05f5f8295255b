//! What the lab waits for between two steps.

use anyhow::{Result, ensure};

use crate::testbed::diag::{State, Status};
use crate::testbed::wait::until;
use crate::traffic::connection::{Connection, REQUEST_LEN, RESPONSE};
use crate::traffic::stream::pending_error;

impl Connection<'_> {
    /// The request lies in the server's receive queue, and stays there.
    pub(crate) fn server_has_the_request_unread(&self) -> Result<()> {
        let mut buffer = [0; REQUEST_LEN];
        let waiting = self.server()?.peek(&mut buffer)?;
        ensure!(waiting == REQUEST_LEN, "only {waiting} bytes of the request have arrived");
        Ok(())
    }

    /// The response lies in the client's receive queue, and stays there.
    pub(crate) fn client_has_the_response_unread(&self) -> Result<()> {
        self.client_has_unread(RESPONSE.len())
    }

    /// So many bytes lie in the client's receive queue, and stay there.
    pub(crate) fn client_has_unread(&self, bytes: usize) -> Result<()> {
        let waiting = self.client()?.peek(&mut vec![0; bytes])?;
        ensure!(waiting == bytes, "only {waiting} of {bytes} bytes have arrived");
        Ok(())
    }

    /// The client's kernel knows that all it sent has arrived.
    pub(crate) fn client_is_acknowledged(&self) -> Result<()> {
        until("the acknowledgement of the request", || {
            let acknowledged = |status: &Status| status.unacknowledged == 0;
            Ok(self.client_status()?.filter(acknowledged).map(drop))
        })
    }

    /// The client's kernel has sent again what nobody answers.
    pub(crate) fn client_has_sent_again(&self) -> Result<()> {
        until("the client to send again", || {
            Ok(self.client_status()?.filter(|status| status.retransmissions > 0).map(drop))
        })
    }

    pub(crate) fn client_reaches(&self, state: State) -> Result<()> {
        until(&format!("the client's socket to reach {state:?}"), || {
            Ok(self.client_status()?.filter(|status| status.state == state).map(drop))
        })
    }

    pub(crate) fn server_reaches(&self, state: State) -> Result<()> {
        until(&format!("the server's socket to reach {state:?}"), || {
            Ok(self.server_status()?.filter(|status| status.state == state).map(drop))
        })
    }

    /// The client's kernel has forgotten the connection; its application, if it still has the socket, learns the error.
    pub(crate) fn client_is_gone(&mut self) -> Result<()> {
        until("the client's socket to die", || Ok(self.client_status()?.is_none().then_some(())))?;
        self.client_errno = pending_error(self.client.as_ref())?;
        Ok(())
    }

    /// The server's kernel has forgotten the connection; its application, if it still has the socket, learns the error.
    pub(crate) fn server_is_gone(&mut self) -> Result<()> {
        until("the server's socket to die", || Ok(self.server_status()?.is_none().then_some(())))?;
        self.server_errno = pending_error(self.server.as_ref())?;
        Ok(())
    }

    /// The server's application has read all of the last request, of the usual kind.
    pub(crate) fn last_request_is_read(&self) -> bool {
        let [sent, read] = [0, 1].map(|end| self.requests[end].get());
        sent > 0 && read == sent
    }

    fn client_status(&self) -> Result<Option<Status>> {
        self.client_kernel.socket(self.client_endpoint, self.server_endpoint)
    }

    fn server_status(&self) -> Result<Option<Status>> {
        self.server_kernel.socket(self.server_endpoint, self.client_endpoint)
    }
}
