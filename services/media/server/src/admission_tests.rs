use super::*;

const LOOKS_A_SECOND: usize = 2;

fn census(of: &[(Kind, Role, u32)]) -> Census {
    let mut census = Census::default();
    for (kind, role, count) in of {
        (0..*count).for_each(|_| census.add(*kind, *role));
    }
    census
}

fn seen(census: Census, spent_ns: u64) -> Seen {
    Seen { census, spent_ns: Some(spent_ns) }
}

/// How many legs a worker of a node takes before it refuses.
fn taken(admission: &mut Admission, kind: Kind) -> usize {
    (0..100_000).take_while(|_| admission.admit(kind, false, None).is_ok()).count()
}

#[test]
fn until_it_is_measured_the_start_table_decides() {
    let mut admission = Admission::new(1, 800);
    assert_eq!(
        taken(&mut admission, Kind::Opus),
        (16_000 - 20) / 130 - 1,
        "16 ms, less the base and a second leg"
    );
    assert_eq!(admission.admit(Kind::Opus, false, Some(0)), Ok(0), "the other leg of a call that is there");
    assert_eq!(admission.admit(Kind::Opus, false, Some(0)), Err(NoRoom));
    assert_eq!(admission.admit(Kind::G711, false, None), Ok(0), "a cheaper one fits");
    assert!(admission.fullness_permille().unwrap() < 1_000);
    let mut two = Admission::new(2, 800);
    assert!(taken(&mut two, Kind::Opus) > 2 * taken(&mut Admission::new(1, 800), Kind::Opus) - 3);
}

#[test]
fn srtp_is_counted_besides_what_its_leg_does() {
    let per_leg = |secured: bool| {
        let mut admission = Admission::new(1, 800);
        (0..100_000).take_while(|_| admission.admit(Kind::G711, secured, Some(0)).is_ok()).count()
    };
    assert_eq!(per_leg(false), (16_000 - 20) / 12);
    assert_eq!(per_leg(true), (16_000 - 20) / 15);
    let mut admission = Admission::new(1, 800);
    let both = [(Kind::G711, Role::Bridged, 400), (Kind::G711, Role::Secured, 400)];
    let plain = [(Kind::G711, Role::Bridged, 400)];
    for n in 0..240 * LOOKS_A_SECOND {
        let (legs, each) = if n % 2 == 0 { (census(&both), 9_000 + 6_000) } else { (census(&plain), 9_000) };
        admission.look([seen(legs, 20_000 + 400 * each)]);
    }
    let cost = |role| admission.cost_ns(Kind::G711, role);
    assert!((5_000..7_000).contains(&cost(Role::Secured)), "{}", cost(Role::Secured));
    assert!((8_000..10_500).contains(&cost(Role::Bridged)), "{}", cost(Role::Bridged));
    // Counted besides, not as legs of their own.
    admission.look([seen(census(&both), 20_000)]);
    assert_eq!(admission.all.legs(), 400);
}

#[test]
fn who_comes_from_another_node_is_not_refused() {
    let mut admission = Admission::new(2, 800);
    admission.look([seen(Census::default(), 19_000_000), seen(Census::default(), 18_000_000)]);
    assert_eq!(admission.admit(Kind::G711, false, None), Err(NoRoom));
    assert_eq!(admission.take(Kind::G711, false, None), 1);
    assert_eq!(admission.take(Kind::Opus, true, Some(0)), 0, "where its call is");
    assert_eq!(admission.expected_permille(1), 900, "and it is counted");
}

#[test]
fn who_is_to_be_relieved_of_noise_takes_the_place_of_several() {
    let (mut plain, mut relieved) = (Admission::new(1, 800), Admission::new(1, 800));
    let room = (Kind::G711, Role::Mixed, 40);
    plain.look([seen(census(&[room]), 0)]);
    relieved.look([seen(census(&[room, (Kind::G711, Role::Suppressed, 40)]), 0)]);
    assert!(relieved.expected_permille(0) > 5 * plain.expected_permille(0));
    assert!(taken(&mut relieved, Kind::G711) * 3 < taken(&mut plain, Kind::G711), "and so will who comes");
}

#[test]
fn a_class_that_costs_three_times_as_much_is_learned_in_half_a_minute() {
    let mut admission = Admission::new(1, 800);
    let rooms = census(&[(Kind::G711, Role::Mixed, 300), (Kind::G711, Role::Bridged, 10)]);
    for _ in 0..30 * LOOKS_A_SECOND {
        admission.look([seen(rooms, 20_000 + 300 * 36_000 + 10 * 9_000)]);
    }
    let learned = admission.cost_ns(Kind::G711, Role::Mixed);
    assert!((34_000..38_000).contains(&learned), "{learned}");
    let bridged = admission.cost_ns(Kind::G711, Role::Bridged);
    assert!((8_000..13_000).contains(&bridged), "who had little part in it has little blame: {bridged}");
    let room = (16_000_000 - 20_000 - 300 * 36_000 - 10 * 9_000) / 36_000;
    let taken = taken(&mut admission, Kind::G711) as i64;
    assert!((taken - room).abs() < room / 8, "{taken} of about {room}");
}

#[test]
fn two_workers_with_other_legs_tell_two_classes_apart() {
    let mut admission = Admission::new(2, 800);
    let opus = census(&[(Kind::Opus, Role::Mixed, 40), (Kind::G722, Role::Mixed, 20)]);
    let g722 = census(&[(Kind::Opus, Role::Mixed, 4), (Kind::G722, Role::Mixed, 200)]);
    let cost = |opus: u64, g722: u64| 20_000 + opus * 200_000 + g722 * 12_000;
    for _ in 0..120 * LOOKS_A_SECOND {
        admission.look([seen(opus, cost(40, 20)), seen(g722, cost(4, 200))]);
    }
    let (opus, g722) =
        (admission.cost_ns(Kind::Opus, Role::Mixed), admission.cost_ns(Kind::G722, Role::Mixed));
    assert!((190_000..210_000).contains(&opus), "{opus}");
    assert!((11_000..13_500).contains(&g722), "{g722}");
}

#[test]
fn a_worker_that_is_busy_takes_nothing_whatever_its_legs_should_cost() {
    let mut admission = Admission::new(2, 800);
    admission.look([seen(Census::default(), 15_999_000), seen(Census::default(), 1_000)]);
    assert_eq!(admission.admit(Kind::G711, false, None), Ok(1));
    assert_eq!(admission.admit(Kind::G711, false, Some(0)), Err(NoRoom), "its call is there");
    assert_eq!(admission.expected_permille(0), 799);
    admission.look([seen(Census::default(), 19_000_000); 2]);
    assert_eq!(admission.admit(Kind::G711, false, None), Err(NoRoom));
    assert!(admission.fullness_permille().unwrap() >= 1_000);
    admission.look([seen(Census::default(), 20_000); 2]);
    assert!(admission.admit(Kind::G711, false, None).is_ok(), "it passes");
}

#[test]
fn who_rings_is_counted_as_if_it_spoke() {
    let mut admission = Admission::new(1, 800);
    let ringing = census(&[(Kind::Opus, Role::Idle, 100)]);
    admission.look([seen(ringing, 400_000)]);
    assert!(admission.expected_permille(0) > 600, "{}", admission.expected_permille(0));
    assert!(taken(&mut admission, Kind::Opus) < 30);
}

#[test]
fn what_was_promised_is_counted_once() {
    let mut admission = Admission::new(1, 800);
    let empty = admission.expected_permille(0);
    assert_eq!(admission.admit(Kind::Opus, false, None), Ok(0));
    let promised = admission.expected_permille(0);
    assert!(promised > empty);
    admission.look([Seen { census: census(&[(Kind::Opus, Role::Idle, 1)]), spent_ns: None }]);
    assert_eq!(admission.expected_permille(0), promised);
}

#[test]
fn few_legs_go_where_there_are_fewest_and_zero_refuses_nothing() {
    let mut admission = Admission::new(3, 0);
    let placed: Vec<usize> = (0..6).map(|_| admission.admit(Kind::G711, false, None).unwrap()).collect();
    assert_eq!(placed, [0, 1, 2, 0, 1, 2]);
    assert_eq!(admission.fullness_permille(), None);
    for _ in 0..10_000 {
        assert!(admission.admit(Kind::Opus, false, Some(1)).is_ok());
    }
    assert_eq!(admission.admit(Kind::G711, false, None), Ok(0), "who has least to do");
}

/// A machine of unknown speed under calls that come and go: never above the share, once it has learned.
#[test]
fn a_node_that_is_offered_too_much_settles_below_its_share() {
    for (seed, speed) in [(1u64, 0.3), (2, 1.0), (3, 2.5), (4, 6.0)] {
        let mut random = seed;
        let mut admission = Admission::new(2, 800);
        let mut legs: [Vec<(Kind, Role, u32)>; 2] = [Vec::new(), Vec::new()];
        let mut late = 0;
        for look in 0..600 {
            // Always more than it can carry.
            for _ in 0..12.max((12.0 / speed) as usize) {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let kind = if (random >> 60) < 4 { Kind::Opus } else { Kind::G711 };
                let role = if (random >> 40) % 3 == 0 { Role::Mixed } else { Role::Bridged };
                if let Ok(worker) = admission.admit(kind, false, None) {
                    legs[worker].push((kind, role, 40 + (random >> 50) as u32 % 80));
                    if admission.admit(kind, false, Some(worker)).is_ok() {
                        legs[worker].push((kind, role, 40 + (random >> 50) as u32 % 80));
                    }
                }
            }
            let now = legs.clone().map(|legs| {
                let mut census = Census::default();
                legs.iter().for_each(|(kind, role, _)| census.add(*kind, *role));
                let cost = |(kind, role, _): &(Kind, Role, u32)| START_NS[*kind as usize][*role as usize];
                seen(census, (BASE_NS + speed * legs.iter().map(cost).sum::<f64>()) as u64)
            });
            // The first minute is for learning.
            late += u32::from(look > 120 && now.iter().any(|seen| seen.spent_ns > Some(18_000_000)));
            if look == 599 {
                let spent = now.map(|seen| seen.spent_ns.unwrap_or(0) / 20_000);
                assert!(spent.iter().all(|permille| (500..=900).contains(permille)), "{speed}: {spent:?}");
            }
            admission.look(now);
            for legs in &mut legs {
                legs.iter_mut().for_each(|(_, _, left)| *left = left.saturating_sub(1));
                legs.retain(|(_, _, left)| *left > 0);
            }
        }
        assert_eq!(late, 0, "speed {speed}, seed {seed}");
    }
}
