//! Values that are used over and over by one worker, so that a request allocates nothing.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::thread::LocalKey;

/// How many values of a kind a worker keeps for later.
const SPARE_MAX: usize = 1024;
/// A buffer beyond this is not kept.
const BYTES_KEPT: usize = 16 << 10;

/// Whether a buffer has grown too large to be kept.
pub(crate) const fn is_large(buffer: &Vec<u8>) -> bool {
    buffer.capacity() > BYTES_KEPT
}

/// Gives up a buffer that has grown too large to be kept.
pub(crate) fn forget_large(buffer: &mut Vec<u8>) {
    if is_large(buffer) {
        *buffer = Vec::new();
    }
}

/// Values that a worker has not in use.
pub(crate) type Stock<T> = RefCell<Vec<Rc<T>>>;

/// What can be used again.
pub(crate) trait Reuse: Clone + Default + 'static {
    /// Where the worker keeps those that are not in use.
    fn stock() -> &'static LocalKey<Stock<Self>>;

    /// Makes it as good as new, but for the memory it holds.
    fn reset(&mut self);
}

/// A value from the stock, which goes back there with its last clone. Cloning copies nothing;
/// changing one of several clones copies it first.
#[derive(Clone)]
pub(crate) struct Stocked<T: Reuse>(Option<Rc<T>>);

impl<T: Reuse> Stocked<T> {
    pub(crate) fn new() -> Self {
        let spare = T::stock().try_with(|stock| stock.borrow_mut().pop()).ok().flatten();
        Self(Some(spare.unwrap_or_default()))
    }
}

impl<T: Reuse> Deref for Stocked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl<T: Reuse> DerefMut for Stocked<T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.0 {
            Some(value) => Rc::make_mut(value),
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl<T: Reuse> Drop for Stocked<T> {
    fn drop(&mut self) {
        let Some(mut value) = self.0.take() else { return };
        if let Some(last) = Rc::get_mut(&mut value) {
            last.reset();
            // At the end of the thread there is no stock any more.
            let _ = T::stock().try_with(|stock| {
                let mut stock = stock.borrow_mut();
                if stock.len() < SPARE_MAX {
                    stock.push(value);
                }
            });
        }
    }
}
