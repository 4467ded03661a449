//! The one value that both flows share: published by control, read once per request.

use std::rc::Rc;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::Table;

/// Holds the current table.
#[derive(Clone, Debug)]
pub struct Cell(Arc<ArcSwap<Table>>);

impl Default for Cell {
    fn default() -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Table::empty())))
    }
}

impl Cell {
    /// Makes `table` the one that the next request of every worker sees.
    pub fn publish(&self, table: Arc<Table>) {
        self.0.store(table);
    }

    /// The current table.
    pub fn load(&self) -> Arc<Table> {
        self.0.load_full()
    }

    /// A worker's own view.
    pub fn reader(&self) -> Reader {
        let cache = Cache::new(Arc::clone(&self.0));
        let local = Rc::new(Held(self.load()));
        Reader { cache, local }
    }
}

/// One worker's view. A request clones an `Rc` of this thread, not the `Arc` whose count all
/// workers would write.
#[derive(Debug)]
pub struct Reader {
    cache: Cache<Arc<ArcSwap<Table>>, Arc<Table>>,
    local: Rc<Held>,
}

/// A table that requests of one worker hold. Cloning the `Rc` around it writes no memory that
/// another worker reads.
#[derive(Debug)]
pub struct Held(Arc<Table>);

impl std::ops::Deref for Held {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.0
    }
}

impl Reader {
    /// The current table.
    pub fn load(&mut self) -> Rc<Held> {
        let current = self.cache.load();
        if !Arc::ptr_eq(current, &self.local.0) {
            self.local = Rc::new(Held(Arc::clone(current)));
        }
        Rc::clone(&self.local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_keeps_its_generation_and_the_next_one_sees_the_new() {
        let cell = Cell::default();
        let mut reader = cell.reader();
        let request = reader.load();
        cell.publish(Arc::new(Table { generation: 1, ..Table::empty() }));
        assert_eq!(request.generation, 0);
        assert_eq!(reader.load().generation, 1);
        assert!(Rc::ptr_eq(&reader.load(), &reader.load()), "no new count while nothing changes");
    }
}
