//! On which worker a leg that joins a room is mixed: together with the others for as long as one thread carries that.

/// A worker, as far as placing goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// How much of its time it needs for its legs, also those that have just come.
    pub(super) expected_permille: u64,
}

/// The part of a room that is on one worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartSize {
    pub(super) worker: usize,
    pub(super) members: usize,
}

/// A worker that is busy for longer takes no more members of a large room: what is left is for peaks.
const SHARE_PERMILLE: u64 = 600;
/// A room's part that is smaller does not make its worker busy, and stays together.
const PART_MIN: usize = 32;

/// The worker for one member more of a room that is on `parts`, the first of which is its home. `here` is where the leg is;
/// at most `members_max` of a room are to be on one worker, 0 leaves that to what workers have to do.
pub(super) fn place(workers: &[Share], parts: &[PartSize], here: usize, members_max: usize) -> usize {
    let takes = |part: &&PartSize| {
        if members_max > 0 {
            return part.members < members_max;
        }
        part.members < PART_MIN || workers[part.worker].expected_permille < SHARE_PERMILLE
    };
    let fitting = || parts.iter().filter(takes);
    if let Some(part) = fitting().find(|part| part.worker == here).or_else(|| fitting().next()) {
        return part.worker;
    }
    let expected = |worker: &usize| workers[*worker].expected_permille;
    let without = (0..workers.len()).filter(|worker| parts.iter().all(|part| part.worker != *worker));
    let emptiest = without.min_by_key(expected);
    let has_room = |worker: &usize| members_max > 0 || expected(worker) < SHARE_PERMILLE;
    if let Some(worker) = emptiest.filter(has_room) {
        return worker;
    }
    // All are past their share: who has least to do.
    parts.iter().map(|part| part.worker).min_by_key(expected).unwrap_or(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(expected_permille: u64) -> Share {
        Share { expected_permille }
    }

    fn part(worker: usize, members: usize) -> PartSize {
        PartSize { worker, members }
    }

    #[test]
    fn a_room_stays_on_one_worker_until_that_has_done_its_share() {
        let idle = [share(5), share(0)];
        assert_eq!(place(&idle, &[part(0, 10)], 1, 0), 0, "also who is elsewhere");
        let busy = [share(600), share(10), share(5)];
        assert_eq!(place(&busy, &[part(0, 400)], 0, 0), 2);
        assert_eq!(place(&busy, &[part(0, 31)], 0, 0), 0, "a small room is not torn apart");
    }

    #[test]
    fn it_fills_its_parts_before_it_takes_another_worker_and_none_that_is_busy() {
        let workers = [share(700), share(400), share(0), share(650)];
        let parts = [part(0, 900), part(1, 900)];
        assert_eq!(place(&workers, &parts, 2, 0), 1);
        let full = [share(700), share(800), share(650)];
        assert_eq!(place(&full, &parts, 2, 0), 0, "all are past their share");
    }

    #[test]
    fn a_number_of_members_that_is_set_decides_alone() {
        let workers = [share(900), share(100), share(50)];
        assert_eq!(place(&workers, &[part(0, 1)], 1, 2), 0);
        assert_eq!(place(&workers, &[part(0, 2)], 1, 2), 2);
        assert_eq!(place(&workers, &[part(0, 2), part(2, 2)], 1, 2), 1);
        assert_eq!(place(&workers, &[part(0, 2), part(2, 2), part(1, 2)], 1, 2), 2, "all are full");
        assert_eq!(place(&workers, &[part(0, 2), part(2, 1), part(1, 1)], 1, 2), 1, "where it is already");
        assert_eq!(place(&workers[..1], &[part(0, 2)], 0, 2), 0, "there is no other");
    }
}
