//! Tasks that serve one connection after another: making a task costs more than all the rest of
//! what accepting takes of our own time.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker, ready};

use tower::Service;

use super::Connection;

/// How many tasks of a port wait for a connection; more end.
const MOST: usize = 64;

/// The tasks of a port on one worker that have no connection.
#[derive(Default)]
pub(super) struct Spare(Rc<Seats>);

type Seats = RefCell<Vec<Rc<Seat>>>;

/// Where a task waits.
struct Seat {
    next: Cell<Option<Connection>>,
    waker: Option<Waker>,
}

enum Task<F> {
    Vacant(Rc<Seat>),
    Serving(F),
}

impl Spare {
    /// Has a task serve `connection`: one that waits, or a new one.
    pub(super) fn serve<S>(&self, connection: Connection, service: &S)
    where
        S: Service<Connection, Response = (), Error = Infallible, Future: Unpin> + Clone + 'static,
    {
        let waiting = self.0.borrow_mut().pop();
        if let Some(seat) = waiting {
            seat.next.set(Some(connection));
            seat.waker.iter().for_each(Waker::wake_by_ref);
            return;
        }
        let seat = Rc::new(Seat { next: Cell::new(Some(connection)), waker: None });
        tokio::task::spawn_local(task(Rc::downgrade(&self.0), seat, service.clone()));
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        let seats = self.0.take();
        seats.iter().filter_map(|seat| seat.waker.as_ref()).for_each(Waker::wake_by_ref);
    }
}

/// Serves what comes to `seat`, and to those that follow it, until there are tasks enough or nobody
/// gives it any more. Put together by hand for what an idle connection would cost otherwise.
fn task<S>(spare: Weak<Seats>, seat: Rc<Seat>, mut service: S) -> impl Future<Output = ()>
where
    S: Service<Connection, Response = (), Error = Infallible, Future: Unpin>,
{
    let mut task = Task::Vacant(seat);
    poll_fn(move |cx| {
        loop {
            match &mut task {
                Task::Vacant(seat) => {
                    ready!(service.poll_ready(cx)).unwrap_or_else(|never| match never {});
                    match seat.next.take() {
                        Some(connection) => task = Task::Serving(service.call(connection)),
                        None if spare.strong_count() == 0 => return Poll::Ready(()),
                        None => return Poll::Pending,
                    }
                }
                Task::Serving(serving) => {
                    let served = ready!(Pin::new(serving).poll(cx));
                    served.unwrap_or_else(|never| match never {});
                    let Some(spare) = spare.upgrade().filter(|seats| seats.borrow().len() < MOST)
                    else {
                        return Poll::Ready(());
                    };
                    let waker = Some(cx.waker().clone());
                    let seat = Rc::new(Seat { next: Cell::new(None), waker });
                    spare.borrow_mut().push(Rc::clone(&seat));
                    task = Task::Vacant(seat);
                }
            }
        }
    })
}
