//! What legs cost a worker, learned from what workers do, and whether another leg still fits.
//!
//! # Contract
//! Twice a second [`Admission::look`] is told of each worker which legs it has ([`Census`]) and how much of a tick its thread
//! worked. What that differs from what was expected is put to the account of the classes that have most to do with it. Between two
//! looks [`Admission::admit`] chooses the worker of a new leg, or refuses it, and counts it as if it were connected already.
//!
//! # What it does not do
//! It knows no clock and no leg. What it admits once it never takes back: running legs are not its business.

use sidetone_dsp::codec::Codec;

/// Codecs that cost about the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    G711,
    G722,
    Gsm,
    L16,
    Opus,
}

/// What a worker does for a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It rings, or is held.
    Idle,
    /// Its packets are passed on as they are, or with their law exchanged.
    Bridged,
    /// It is bridged to another codec.
    Transcoded,
    /// It is in a room.
    Mixed,
    /// Besides, what it says goes to a recording or a stream.
    Recorded,
    /// Besides, its packets are SRTP.
    Secured,
    /// Besides, noise is suppressed in what it says.
    Suppressed,
}

/// How many legs of each class are on one worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census([[u32; Role::ALL.len()]; Kind::ALL.len()]);

/// What is known of one worker.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) census: Census,
    /// How long its thread worked for each tick since the last look, in ns; none when that is not known.
    pub(crate) spent_ns: Option<u64>,
}

/// No worker has room for another leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// The books of one node.
#[derive(Debug)]
pub(crate) struct Admission {
    /// How much of a tick may be used, in thousandths; 0 refuses nothing.
    load_max_permille: u64,
    /// What one leg of a class costs, in ns for each tick.
    costs: [[f64; Role::ALL.len()]; Kind::ALL.len()],
    workers: Vec<Standing>,
    /// All workers' legs.
    all: Census,
}

#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    seen: Seen,
    /// What is expected of its legs when all of them are connected, in ns for each tick.
    expected_ns: f64,
    /// What came since the last look.
    promised_ns: f64,
    /// Legs that came since the last look.
    promised: usize,
}

const TICK_NS: f64 = 20_000_000.0;
/// What a worker does without legs.
const BASE_NS: f64 = 20_000.0;
/// What legs cost until it is measured, in ns for each tick: as `benches/peers` has it on a slow machine: of SRTP that is
/// 1.5 us for each packet, one of which comes and one goes. By [`Kind`] and [`Role`].
const START_NS: [[f64; Role::ALL.len()]; Kind::ALL.len()] = [
    [3_000.0, 9_000.0, 15_000.0, 12_000.0, 2_000.0, 3_000.0, 150_000.0],
    [4_000.0, 9_000.0, 25_000.0, 25_000.0, 8_000.0, 3_000.0, 150_000.0],
    [5_000.0, 9_000.0, 35_000.0, 35_000.0, 8_000.0, 3_000.0, 150_000.0],
    [3_000.0, 9_000.0, 18_000.0, 18_000.0, 3_000.0, 3_000.0, 150_000.0],
    [5_000.0, 9_000.0, 130_000.0, 130_000.0, 25_000.0, 3_000.0, 150_000.0],
];
/// How far what is learned may go from where it began, up and down.
const LEARNED_MAX: f64 = 16.0;
/// How much of a difference is put to account at each look: half of it within about three seconds.
const RATE: f64 = 0.1;
/// A worker that does less teaches nothing: its own work hides what its legs cost.
const TEACHES_NS: f64 = 0.02 * TICK_NS;
/// A new leg is expected to cost what the node's others of its kind do, these among them, which are in a room.
const PRIOR_LEGS: f64 = 8.0;
/// Workers that differ by less of their tick are as full as each other.
const STEP_PERMILLE: u64 = 50;

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::G711, Self::G722, Self::Gsm, Self::L16, Self::Opus];

    pub(crate) const fn of(codec: Codec) -> Self {
        match codec {
            Codec::G711(_) => Self::G711,
            Codec::G722 => Self::G722,
            Codec::Gsm => Self::Gsm,
            Codec::L16(_) => Self::L16,
            Codec::Opus => Self::Opus,
        }
    }

    /// As in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::G711 => "g711",
            Self::G722 => "g722",
            Self::Gsm => "gsm",
            Self::L16 => "l16",
            Self::Opus => "opus",
        }
    }
}

impl Role {
    pub(crate) const ALL: [Self; 7] = [
        Self::Idle,
        Self::Bridged,
        Self::Transcoded,
        Self::Mixed,
        Self::Recorded,
        Self::Secured,
        Self::Suppressed,
    ];

    /// As in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Bridged => "bridged",
            Self::Transcoded => "transcoded",
            Self::Mixed => "mixed",
            Self::Recorded => "recorded",
            Self::Secured => "secured",
            Self::Suppressed => "suppressed",
        }
    }
}

impl Census {
    /// Counts one leg; who is recorded, has SRTP or is relieved of noise is counted once more, as that.
    pub(crate) fn add(&mut self, kind: Kind, role: Role) {
        self.0[kind as usize][role as usize] += 1;
    }

    fn of(&self, kind: Kind, role: Role) -> f64 {
        f64::from(self.0[kind as usize][role as usize])
    }

    fn legs(&self) -> usize {
        let each = self.0.iter().flat_map(|roles| &roles[..Role::Recorded as usize]);
        each.map(|count| *count as usize).sum()
    }

    fn classes() -> impl Iterator<Item = (Kind, Role)> {
        Kind::ALL.into_iter().flat_map(|kind| Role::ALL.map(|role| (kind, role)))
    }
}

impl Admission {
    /// Of a node with so many workers. `load_max_permille` of a tick may be used; 0 refuses nothing.
    pub(crate) fn new(workers: usize, load_max_permille: u32) -> Self {
        Self {
            load_max_permille: load_max_permille.into(),
            costs: START_NS,
            workers: vec![Standing { expected_ns: BASE_NS, ..Standing::default() }; workers],
            all: Census::default(),
        }
    }

    /// Every worker, as it is now.
    pub(crate) fn look(&mut self, seen: impl IntoIterator<Item = Seen>) {
        self.all = Census::default();
        for (standing, seen) in self.workers.iter_mut().zip(seen) {
            *standing = Standing { seen, ..Standing::default() };
            for (kind, role) in Census::classes() {
                self.all.0[kind as usize][role as usize] += seen.census.0[kind as usize][role as usize];
            }
        }
        for n in 0..self.workers.len() {
            let Seen { census, spent_ns } = self.workers[n].seen;
            if let Some(spent_ns) = spent_ns {
                self.learn(&census, spent_ns as f64);
            }
        }
        for n in 0..self.workers.len() {
            self.workers[n].expected_ns = self.expected(&self.workers[n].seen.census);
        }
    }

    /// The worker of a new leg: `at`, where its call is already, or who has most room. It is counted from now on.
    pub(crate) fn admit(&mut self, kind: Kind, secured: bool, at: Option<usize>) -> Result<usize, NoRoom> {
        let worker = self.place(at).ok_or(NoRoom)?;
        // A call that begins has another leg soon.
        let legs = if at.is_some() { 1.0 } else { 2.0 };
        let most = legs * self.cost_of(kind, secured);
        if self.load_max_permille > 0 && self.load_ns(worker) + most > self.most_ns() {
            return Err(NoRoom);
        }
        self.promise(worker, kind, secured);
        Ok(worker)
    }

    /// The same for a leg that is there already, and only comes from elsewhere: it is not refused.
    pub(crate) fn take(&mut self, kind: Kind, secured: bool, at: Option<usize>) -> usize {
        let worker = self.place(at).unwrap_or(0);
        self.promise(worker, kind, secured);
        worker
    }

    fn place(&self, at: Option<usize>) -> Option<usize> {
        let emptiest = || {
            let fullness = |n: &usize| {
                let standing = &self.workers[*n];
                let legs = standing.seen.census.legs() + standing.promised;
                (self.expected_permille(*n) / STEP_PERMILLE, legs)
            };
            (0..self.workers.len()).min_by_key(fullness)
        };
        at.or_else(emptiest)
    }

    fn promise(&mut self, worker: usize, kind: Kind, secured: bool) {
        let cost = self.cost_of(kind, secured);
        if let Some(standing) = self.workers.get_mut(worker) {
            standing.promised_ns += cost;
            standing.promised += 1;
        }
    }

    /// Of a leg that has just come, and of which is known whether it has SRTP.
    fn cost_of(&self, kind: Kind, secured: bool) -> f64 {
        let besides = if secured { self.costs[kind as usize][Role::Secured as usize] } else { 0.0 };
        self.of_new(kind) + besides
    }

    /// How much of its ticks a worker needs for the legs that it has when all are connected, or needed last, in thousandths.
    pub(crate) fn expected_permille(&self, worker: usize) -> u64 {
        (self.load_ns(worker) * 1_000.0 / TICK_NS) as u64
    }

    /// How full the node is, in thousandths of what may be used; from 1,000 on it takes no call. None when it refuses nothing.
    pub(crate) fn fullness_permille(&self) -> Option<u32> {
        let most = self.most_ns();
        let dearest = Kind::ALL.into_iter().filter(|kind| self.kinds(*kind) > 0.0);
        let room = 2.0 * dearest.map(|kind| self.of_new(kind)).fold(self.of_new(Kind::G711), f64::max);
        let loads = || (0..self.workers.len()).map(|worker| self.load_ns(worker));
        let least = loads().fold(f64::INFINITY, f64::min);
        let mean = loads().sum::<f64>() / (self.workers.len() as f64).max(1.0);
        let share = (mean / most * 1_000.0) as u32;
        (self.load_max_permille > 0)
            .then(|| if least + room > most { share.max(1_000) } else { share.min(999) })
    }

    /// What a leg of a class costs, in ns for each tick.
    pub(crate) fn cost_ns(&self, kind: Kind, role: Role) -> u64 {
        self.costs[kind as usize][role as usize] as u64
    }

    fn most_ns(&self) -> f64 {
        self.load_max_permille as f64 * TICK_NS / 1_000.0
    }

    fn load_ns(&self, worker: usize) -> f64 {
        let Standing { seen, expected_ns, promised_ns, .. } = &self.workers[worker];
        expected_ns.max(seen.spent_ns.unwrap_or(0) as f64) + promised_ns
    }

    fn kinds(&self, kind: Kind) -> f64 {
        Role::ALL[..Role::Recorded as usize].iter().map(|role| self.all.of(kind, *role)).sum()
    }

    /// What a leg that has just come is expected to cost when it is connected.
    fn of_new(&self, kind: Kind) -> f64 {
        let cost = |role: Role| self.costs[kind as usize][role as usize];
        let count = |role: Role| self.all.of(kind, role);
        let connected = [Role::Bridged, Role::Transcoded, Role::Mixed];
        let legs: f64 = connected.map(count).iter().sum();
        let spent: f64 = connected.map(|role| count(role) * cost(role)).iter().sum();
        let connected = (spent + PRIOR_LEGS * cost(Role::Mixed)) / (legs + PRIOR_LEGS);
        let besides = [Role::Recorded, Role::Suppressed]
            .map(|role| count(role) / (self.kinds(kind) + PRIOR_LEGS) * cost(role));
        connected.max(cost(Role::Idle)) + besides.iter().sum::<f64>()
    }

    /// What legs need for each tick; who rings or is held counts as what it is likely to become.
    fn expected(&self, census: &Census) -> f64 {
        let idle = |kind: Kind| census.of(kind, Role::Idle) * (self.of_new(kind) - self.idle(kind));
        self.modelled(census) + Kind::ALL.into_iter().map(idle).sum::<f64>()
    }

    fn idle(&self, kind: Kind) -> f64 {
        self.costs[kind as usize][Role::Idle as usize]
    }

    /// What legs should have cost as they are.
    fn modelled(&self, census: &Census) -> f64 {
        let spent = |(kind, role)| census.of(kind, role) * self.costs[kind as usize][role as usize];
        BASE_NS + Census::classes().map(spent).sum::<f64>()
    }

    /// Puts a part of the difference to the account of each class, by its part in what was expected.
    fn learn(&mut self, census: &Census, spent_ns: f64) {
        let modelled = self.modelled(census);
        if spent_ns.max(modelled) < TEACHES_NS {
            return;
        }
        // Bounded: one look at a machine that stood still must not undo what was learned.
        let off = ((spent_ns - modelled) / modelled).clamp(-0.9, 3.0);
        for (kind, role) in Census::classes() {
            let cost = &mut self.costs[kind as usize][role as usize];
            let share = census.of(kind, role) * *cost / modelled;
            let start = START_NS[kind as usize][role as usize];
            *cost = (*cost * (1.0 + RATE * off * share)).clamp(start / LEARNED_MAX, start * LEARNED_MAX);
        }
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
