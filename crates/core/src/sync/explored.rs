//! Stand-ins for the types of `real`, under the same names. At each use of a lock or an atomic the
//! scheduler decides which thread goes on. A call of a type that is more than a lock is one step.

use moka::Equivalent;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Waker;

pub use shuttle::sync::MutexGuard;
pub use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

#[derive(Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("no thread has panicked")
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// What [`ArcSwapOption::load`] returns.
pub type Guard<T> = T;

pub struct ArcSwapOption<T>(Mutex<Option<Arc<T>>>);

impl<T> ArcSwapOption<T> {
    pub fn empty() -> Self {
        Self(Mutex::new(None))
    }

    pub fn load(&self) -> Option<Arc<T>> {
        self.0.lock().clone()
    }

    pub fn load_full(&self) -> Option<Arc<T>> {
        self.load()
    }

    pub fn store(&self, value: Option<Arc<T>>) {
        *self.0.lock() = value;
    }
}

#[derive(Default)]
pub struct AtomicWaker {
    step: Mutex<()>,
    waker: atomic_waker::AtomicWaker,
}

impl AtomicWaker {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn register(&self, waker: &Waker) {
        drop(self.step.lock());
        self.waker.register(waker);
    }

    pub fn wake(&self) {
        drop(self.step.lock());
        self.waker.wake();
    }
}

/// The part of `moka::sync::Cache` that `coherence` uses. It evicts nothing.
pub struct MokaCache<K, V, S> {
    entries: Mutex<Vec<(K, V)>>,
    hasher: PhantomData<S>,
}

impl<K: PartialEq, V: Clone, S> MokaCache<K, V, S> {
    pub fn builder() -> Self {
        Self { entries: Mutex::new(Vec::new()), hasher: PhantomData }
    }

    pub fn max_capacity(self, _: u64) -> Self {
        self
    }

    pub fn weigher(self, _: impl Fn(&K, &V) -> u32) -> Self {
        self
    }

    pub fn build_with_hasher(self, _: S) -> Self {
        self
    }

    pub fn get(&self, key: &impl Equivalent<K>) -> Option<V> {
        let entries = self.entries.lock();
        entries.iter().find(|(it, _)| key.equivalent(it)).map(|(_, value)| value.clone())
    }

    pub fn contains_key(&self, key: &impl Equivalent<K>) -> bool {
        self.get(key).is_some()
    }

    pub fn insert(&self, key: K, value: V) {
        let mut entries = self.entries.lock();
        entries.retain(|(it, _)| *it != key);
        entries.push((key, value));
    }

    pub fn invalidate(&self, key: &impl Equivalent<K>) {
        self.entries.lock().retain(|(it, _)| !key.equivalent(it));
    }

    pub fn entry_count(&self) -> u64 {
        self.entries.lock().len() as u64
    }

    pub fn weighted_size(&self) -> u64 {
        self.entry_count()
    }

    pub fn run_pending_tasks(&self) {}
}
