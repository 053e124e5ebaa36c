//! A room on several threads, on a virtual clock: everybody hears, to the sample, what a single mix would give in which those
//! of other threads are one tick later.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;

use sidetone_dsp::Gain;
use sidetone_mix_core::{MemberId, Mixer, Notes, Submix};

const FRAME: usize = 160;
const PLACES: usize = 40;

/// What happens to members in one tick, each by its number.
#[derive(Debug, Clone)]
enum Order {
    Join(usize),
    Leave(usize),
    Mute(usize, bool),
    Deafen(usize, bool),
    Gain(usize, u16),
    Whisper(usize, Option<usize>),
    Speak(usize, Vec<i16>),
}

impl Order {
    fn of(&self) -> usize {
        match self {
            Self::Join(n)
            | Self::Leave(n)
            | Self::Mute(n, _)
            | Self::Deafen(n, _)
            | Self::Gain(n, _)
            | Self::Whisper(n, _)
            | Self::Speak(n, _) => *n,
        }
    }
}

/// A mixer that knows its members by number.
struct Named {
    mixer: Mixer,
    ids: HashMap<usize, MemberId>,
}

impl Named {
    fn new() -> Self {
        Self { mixer: Mixer::new(FRAME, 2 * PLACES), ids: HashMap::new() }
    }

    fn obey(&mut self, order: &Order) {
        if let Order::Join(n) = order {
            self.ids.insert(*n, self.mixer.join().unwrap());
            return;
        }
        let Some(id) = self.ids.get(&order.of()).copied() else { return };
        match order {
            Order::Join(_) => {}
            Order::Leave(n) => {
                self.mixer.leave(id);
                self.ids.remove(n);
            }
            Order::Mute(_, muted) => self.mixer.set_muted(id, *muted),
            Order::Deafen(_, deaf) => self.mixer.set_deaf(id, *deaf),
            Order::Gain(_, gain) => self.mixer.set_gain(id, Gain::from_q12(*gain)),
            Order::Whisper(_, to) => {
                let to = to.and_then(|to| self.ids.get(&to).copied());
                self.mixer.set_whisper(id, to);
            }
            Order::Speak(_, voice) => self.mixer.speak(id).unwrap().copy_from_slice(voice),
        }
    }
}

/// Numbers that look random, and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// The thread that a member is on.
fn thread_of(member: usize, threads: usize) -> usize {
    member % threads
}

/// What happens in each tick: joins, leaves and all settings in any order, and voices from a whisper to far above full scale.
fn script(seed: u64, ticks: usize, threads: usize) -> Vec<Vec<Order>> {
    let mut dice = Dice(seed);
    let mut here: Vec<usize> = Vec::new();
    let mut script = Vec::new();
    for _ in 0..ticks {
        let mut orders = Vec::new();
        for _ in 0..dice.roll(4) {
            let member = dice.roll(PLACES as u64) as usize;
            let Some(at) = here.iter().position(|other| *other == member) else {
                here.push(member);
                orders.push(Order::Join(member));
                continue;
            };
            let beside = member + threads;
            orders.push(match dice.roll(6) {
                0 => Order::Leave(here.swap_remove(at)),
                1 => Order::Mute(member, dice.roll(2) == 0),
                2 => Order::Deafen(member, dice.roll(2) == 0),
                3 => Order::Gain(member, dice.roll(8_000) as u16),
                _ => Order::Whisper(member, here.contains(&beside).then_some(beside)),
            });
        }
        for member in &here {
            if dice.roll(3) > 0 {
                let loud = [300, 9_000, 60_000][dice.roll(3) as usize];
                let voice = (0..FRAME).map(|_| (dice.roll(loud) as i32 - loud as i32 / 2) as i16);
                orders.push(Order::Speak(*member, voice.collect()));
            }
        }
        script.push(orders);
    }
    script
}

fn everybody_hears_the_same(threads: usize, seed: u64) {
    let script = script(seed, 300, threads);
    let mut ends = Submix::family(threads, FRAME);
    let mut parts: Vec<Named> = (0..threads).map(|_| Named::new()).collect();
    // For each thread the one mix that its members are to hear.
    let mut single: Vec<Named> = (0..threads).map(|_| Named::new()).collect();
    for (tick, orders) in script.iter().enumerate() {
        for (n, one) in single.iter_mut().enumerate() {
            let others = tick.checked_sub(1).map_or(&[][..], |before| &script[before]);
            let others = others.iter().filter(|order| thread_of(order.of(), threads) != n);
            let own = orders.iter().filter(|order| thread_of(order.of(), threads) == n);
            others.chain(own).for_each(|order| one.obey(order));
            one.mixer.mix();
        }
        for order in orders {
            parts[thread_of(order.of(), threads)].obey(order);
        }
        for (n, (part, end)) in parts.iter_mut().zip(&mut ends).enumerate() {
            part.mixer.sum_up();
            let late = end.exchange(tick as u64, &Notes::default(), &mut part.mixer);
            part.mixer.finish();
            assert_eq!(late, 0);
            assert_eq!(part.mixer.common(), single[n].mixer.common(), "seed {seed}, tick {tick}");
            for (member, id) in &part.ids {
                let of_one = single[n].ids[member];
                let expected = single[n].mixer.heard(of_one);
                assert_eq!(part.mixer.heard(*id), expected, "seed {seed}, tick {tick}, member {member}");
            }
        }
    }
}

#[test]
fn to_the_sample_on_one_two_three_and_seven_threads() {
    for threads in [1, 2, 3, 7] {
        for seed in 1..=5 {
            everybody_hears_the_same(threads, seed);
        }
    }
}

/// Two threads with a member each; the first one's speaks a constant.
fn pair() -> (Vec<Named>, Vec<Submix>) {
    let mut parts: Vec<Named> = (0..2).map(|_| Named::new()).collect();
    for (n, part) in parts.iter_mut().enumerate() {
        part.obey(&Order::Join(n));
    }
    (parts, Submix::family(2, FRAME))
}

fn tick(part: &mut Named, end: &mut Submix, tick: u64, says: Option<i16>) -> (u32, Vec<i16>) {
    let (member, id) = part.ids.iter().next().map(|(member, id)| (*member, *id)).unwrap();
    if let Some(level) = says {
        part.obey(&Order::Speak(member, vec![level; FRAME]));
    }
    part.mixer.sum_up();
    let notes = Notes { members: part.ids.len() as u32, ..Notes::default() };
    let late = end.exchange(tick, &notes, &mut part.mixer);
    part.mixer.finish();
    (late, part.mixer.heard(id).to_vec())
}

/// No step between two samples is larger than a fade over one frame gives.
fn assert_no_click(sound: &[i16]) {
    let steepest = sound.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().unwrap();
    assert!(steepest <= 8_000 / FRAME as i16 + 1, "a step of {steepest}");
}

#[test]
fn who_is_late_is_faded_out_counted_and_fades_in_again() {
    let (mut parts, mut ends) = pair();
    let [speaker, listener] = &mut parts[..] else { unreachable!() };
    let [from, to] = &mut ends[..] else { unreachable!() };
    let (mut heard, mut late) = (Vec::new(), Vec::new());
    for n in 0..20 {
        // The speaker's thread stalls for three ticks, and makes up for them in one go.
        match n {
            8 | 9 => {}
            10 => (8..=10).for_each(|missed| drop(tick(speaker, from, missed, Some(8_000)))),
            n => drop(tick(speaker, from, n, Some(8_000))),
        }
        let (missed, sound) = tick(listener, to, n, None);
        heard.extend(sound);
        late.extend((missed > 0).then_some(n));
    }
    assert_eq!(late, [9], "what was made up for in time is heard");
    assert_no_click(&heard);
    assert_eq!(heard[8 * FRAME + 100], 8_000);
    assert_eq!(heard[9 * FRAME + 159], 0, "mirrored and faded out");
    assert_eq!(heard[10 * FRAME + 159], 8_000, "and in again");
    assert!(heard[11 * FRAME..].iter().all(|sample| *sample == 8_000));
}

#[test]
fn who_stalls_longer_than_is_kept_is_late_each_tick_and_comes_back() {
    let (mut parts, mut ends) = pair();
    let [speaker, listener] = &mut parts[..] else { unreachable!() };
    let [from, to] = &mut ends[..] else { unreachable!() };
    let (mut heard, mut late) = (Vec::new(), 0);
    for n in 0..60 {
        // Both sides stall once: the speaker in the middle, later the listener.
        if !(20..40).contains(&n) {
            tick(speaker, from, n, Some(8_000));
        }
        if !(45..58).contains(&n) {
            let (missed, sound) = tick(listener, to, n, None);
            late += missed;
            heard.extend(sound);
        }
    }
    assert_eq!(late, 20);
    assert_no_click(&heard);
    assert_eq!(heard.last(), Some(&8_000));
    assert_eq!(to.others().map(|notes| notes.members).sum::<u32>(), 1);
}

#[test]
fn who_goes_away_fades_out_and_is_not_late() {
    let (mut parts, mut ends) = pair();
    let listener = &mut parts.pop().unwrap();
    let to = &mut ends.pop().unwrap();
    let mut heard = Vec::new();
    let mut late = 0;
    for n in 0..20 {
        if n < 10 {
            tick(&mut parts[0], &mut ends[0], n, Some(8_000));
        } else if n == 10 {
            ends.clear();
        }
        let (missed, sound) = tick(listener, to, n, None);
        late += missed;
        heard.extend(sound);
    }
    assert_eq!(late, 0);
    assert_no_click(&heard);
    assert_eq!(heard[10 * FRAME], 8_000, "the last sum is heard");
    assert_eq!(heard.last(), Some(&0));
    assert_eq!(to.others().count(), 0);
}

#[test]
fn threads_that_really_run_take_sums_whole_or_not_at_all() {
    const TICKS: u64 = if cfg!(miri) { 30 } else { 20_000 };
    // Each says the number of its tick; the other, who says nothing, hears a single voice, and that unchanged.
    let (parts, ends) = pair();
    let threads: Vec<_> = (parts.into_iter().zip(ends).enumerate())
        .map(|(n, (mut part, mut end))| {
            std::thread::spawn(move || {
                let mut whole = 0;
                for now in 0..TICKS {
                    let says = (n == 0).then_some((now % 30_000) as i16);
                    let (late, sound) = tick(&mut part, &mut end, now, says);
                    let is_faded = sound[0] != sound[FRAME - 1];
                    if n == 1 && late == 0 && !is_faded && sound[0] != 0 {
                        assert!(sound.iter().all(|sample| *sample == sound[0]), "half of two ticks");
                        assert_eq!(u64::from(sound[0] as u16), (now - 1) % 30_000, "another tick");
                        whole += 1;
                    }
                    if now % 64 == 0 {
                        std::thread::yield_now();
                    }
                }
                whole
            })
        })
        .collect();
    let whole: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    eprintln!("{whole:?} of {TICKS} ticks were heard in time by threads that do not wait for each other");
}
