//! Tests of the hot table: one thread against the rules of a set, and many threads against torn
//! entries.

use super::{Footprint, HotTable, LONGEST, View, WAYS, ways_with};

fn view(canonical: Option<&[u8]>) -> View<'_> {
    View { canonical, as_of: 1, epoch: 1 }
}

/// The canonical id of the entry that the table holds for the key.
fn kept(table: &HotTable, footprint: Footprint) -> Option<Option<Vec<u8>>> {
    let kept = table.read(footprint, |view| view.canonical.map(<[u8]>::to_vec));
    assert_eq!(table.holds(footprint), kept.is_some());
    kept
}

#[test]
fn an_entry_is_kept_replaced_and_removed() {
    let table = HotTable::new(8);
    let footprint = Footprint::of(9, 9);
    assert!(kept(&table, footprint).is_none());
    table.put(footprint, view(None));
    assert_eq!(kept(&table, footprint), Some(None));
    assert!(kept(&table, Footprint::of(9, 10)).is_none());
    // The same tag and set.
    assert!(kept(&table, Footprint::of(10, 9)).is_none());
    table.put(footprint, view(Some(b"alice")));
    assert_eq!(kept(&table, footprint), Some(Some(b"alice".to_vec())));
    table.put(footprint, view(Some(b"bob")));
    assert_eq!((kept(&table, footprint), table.len()), (Some(Some(b"bob".to_vec())), 1));
    table.remove(footprint);
    table.remove(footprint);
    assert_eq!((kept(&table, footprint), table.len()), (None, 0));
    HotTable::new(0).put(footprint, view(None));
    assert!(kept(&HotTable::new(0), footprint).is_none());
}

#[test]
fn an_entry_comes_back_whole() {
    let table = HotTable::new(8);
    let (as_of, epoch) = (i64::MAX as u64, (1 << 54) - 1);
    for canonical in [None, Some(&b""[..]), Some(b"alice"), Some(&[0xff; LONGEST])] {
        let footprint = Footprint::of(3, 5);
        table.put(footprint, View { canonical, as_of, epoch });
        let same =
            |view: View<'_>| (view.canonical, view.as_of, view.epoch) == (canonical, as_of, epoch);
        assert_eq!(table.read(footprint, same), Some(true));
    }
}

#[test]
fn an_empty_cell_is_not_the_entry_of_the_key_of_zeros() {
    let table = HotTable::new(8);
    table.put(Footprint::of(9, 9), view(None));
    assert!(kept(&table, Footprint::of(0, 0)).is_none());
    table.put(Footprint::of(0, 0), view(None));
    assert!(kept(&table, Footprint::of(0, 0)).is_some());
}

#[test]
fn keys_of_one_set_have_a_cell_each_until_it_is_full() {
    // With different tags, and all with the same one.
    for step in [1, 256] {
        let table = HotTable::new(WAYS as u64);
        let footprint = |n: u64| Footprint::of(n, step * n);
        let places: Vec<_> = (1..=2 * WAYS as u64).map(footprint).collect();
        let held = || places.iter().filter(|footprint| kept(&table, **footprint).is_some()).count();
        for (footprint, count) in places.iter().zip(1..) {
            // Twice: a key takes one cell only.
            table.put(*footprint, view(None));
            table.put(*footprint, view(None));
            assert_eq!((held(), table.len()), (count.min(WAYS), count.min(WAYS) as u64));
            assert!(kept(&table, *footprint).is_some());
        }
        places.iter().for_each(|footprint| table.remove(*footprint));
        assert_eq!((held(), table.len()), (0, 0));
    }
}

#[test]
fn those_that_were_asked_for_are_told_from_the_others() {
    let table = HotTable::new(100 * WAYS as u64);
    // The set is chosen by the high half of the check.
    let footprint = |n: u64| Footprint::of(n, n << 58 | n);
    let visited = |used| {
        let mut found = Vec::new();
        let all = table.visit(used, &mut |footprint: Footprint, entry: View<'_>| {
            found.push((footprint.hash(), entry.canonical.map(<[u8]>::to_vec)));
            true
        });
        assert!(all);
        found.sort_unstable();
        found
    };
    assert!(table.fill(footprint(1), view(Some(b"one"))));
    assert!(table.fill(footprint(2), view(Some(b"two"))));
    table.put(footprint(3), view(None));
    assert_eq!(visited(true), [(3, None)]);
    assert!(kept(&table, footprint(2)).is_some());
    assert_eq!(visited(true), [(2, Some(b"two".to_vec())), (3, None)]);
    assert_eq!(visited(false), [(1, Some(b"one".to_vec()))]);
    table.forget_uses(2);
    assert_eq!(visited(true).len(), 2, "those of another epoch stay as they are");
    table.forget_uses(1);
    assert_eq!((visited(true).len(), visited(false).len()), (0, 3));
    let mut left = 2;
    let all = table.visit(false, &mut |_: Footprint, _: View<'_>| {
        left -= 1;
        left > 0
    });
    assert!(!all);
}

#[test]
fn a_full_set_is_filled_no_further() {
    let table = HotTable::new(WAYS as u64);
    let filled = (1..=2 * WAYS as u64).filter(|&n| table.fill(Footprint::of(n, n), view(None)));
    assert_eq!(filled.count(), WAYS);
    assert!(!HotTable::new(8).fill(Footprint::of(1, 1), view(Some(&[b'x'; LONGEST + 1]))));
    assert!(!HotTable::new(0).fill(Footprint::of(1, 1), view(None)));
}

#[test]
fn what_nobody_asked_for_is_replaced_first() {
    let table = HotTable::new(WAYS as u64);
    let filled = WAYS as u64 / 2;
    (1..=filled).for_each(|n| assert!(table.fill(Footprint::of(n, n), view(None))));
    (filled + 1..=filled + WAYS as u64).for_each(|n| table.put(Footprint::of(n, n), view(None)));
    let kept = |n: &u64| table.holds(Footprint::of(*n, *n));
    assert_eq!((1..=filled).filter(kept).count(), 0);
    assert_eq!((filled + 1..=filled + WAYS as u64).filter(kept).count(), WAYS);
    table.put(Footprint::of(99, 99), view(None));
    assert!(table.holds(Footprint::of(99, 99)), "one that was asked for makes room then");
}

/// A quicker test for a byte, which was not exact, took the 0 of an empty cell for the tag 1 if the
/// byte below it was 1. So a removed entry could be read again.
#[test]
fn a_removed_entry_is_gone_whatever_its_tag() {
    for (other, tag) in (0..=255).flat_map(|other| (0..=3).map(move |tag| (other, tag))) {
        let table = HotTable::new(WAYS as u64);
        let (stays, goes) = (Footprint::of(1, other), Footprint::of(2, tag));
        table.put(stays, view(None));
        table.put(goes, view(None));
        table.remove(goes);
        table.remove(goes);
        assert_eq!((kept(&table, goes), kept(&table, stays), table.len()), (None, Some(None), 1));
        table.put(goes, view(None));
        assert_eq!((kept(&table, goes), table.len()), (Some(None), 2));
    }
}

#[test]
fn an_entry_that_is_too_long_is_not_kept() {
    let table = HotTable::new(8);
    for length in [1, LONGEST, LONGEST + 1, 255] {
        let (footprint, id) = (Footprint::of(1, length as u64), vec![b'x'; length]);
        table.put(footprint, view(Some(&id)));
        let whole = (length <= LONGEST).then_some(Some(id.clone()));
        assert_eq!(kept(&table, footprint), whole);
        // An older entry that fitted does not stay either.
        table.put(footprint, view(Some(b"short")));
        table.put(footprint, view(Some(&id)));
        assert_eq!(kept(&table, footprint), whole);
    }
}

#[test]
fn tags_are_found_wherever_they_are() {
    let found = |tags: [u8; 8], tag| ways_with(u64::from_le_bytes(tags), tag).collect::<Vec<_>>();
    assert_eq!(found([7, 1, 7, 0, 255, 128, 3, 7], 7), [0, 2, 7]);
    assert_eq!(found([7, 1, 7, 0, 255, 128, 3, 7], 255), [4]);
    assert_eq!(found([1, 2, 3, 4, 5, 6, 7, 8], 0), [0_usize; 0]);
    assert_eq!(found([1, 0, 1, 0, 0, 2, 1, 0], 1), [0, 2, 6]);
    assert_eq!(found([7, 6, 7, 6, 6, 8, 0, 6], 7), [0, 2]);
    assert_eq!(found([0; 8], 0), [0, 1, 2, 3, 4, 5, 6, 7]);
}

/// Threads put and read entries of a few keys. Returns how many entries were read, and how many of
/// them were torn. An entry's seq, epoch and id are all made from one number, so a torn one shows.
fn torn(rounds: u64) -> (u64, u64) {
    let table = HotTable::new(8);
    let footprint = |n: u64| Footprint::of(n % 2, 1);
    let (table, footprint) = (&table, &footprint);
    std::thread::scope(|scope| {
        let puts = move |first: u64| {
            for n in (first..first + rounds).step_by(3) {
                let id = [n as u8; LONGEST];
                let length = LONGEST - n as usize % 7;
                table
                    .put(footprint(n), View { canonical: Some(&id[..length]), as_of: n, epoch: n });
            }
        };
        let reads = move || {
            let (mut read, mut torn) = (0, 0);
            for n in 0..rounds {
                let whole = |view: View<'_>| {
                    let seq = view.as_of;
                    let id = view.canonical.unwrap_or_default();
                    view.epoch == seq
                        && id.len() == LONGEST - seq as usize % 7
                        && id.iter().all(|byte| *byte == seq as u8)
                };
                if let Some(whole) = table.read(footprint(n), whole) {
                    read += 1;
                    torn += u64::from(!whole);
                }
            }
            (read, torn)
        };
        let writers = [scope.spawn(move || puts(0)), scope.spawn(move || puts(1))];
        let readers = [scope.spawn(reads), scope.spawn(reads)];
        writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
        let counts = readers.map(|reader| reader.join().expect("no panic"));
        counts.into_iter().fold((0, 0), |(a, b), (read, torn)| (a + read, b + torn))
    })
}

#[test]
fn no_entry_is_read_torn() {
    let (read, torn) = torn(300_000);
    assert!(read > 0);
    assert_eq!(torn, 0, "of {read}");
}
