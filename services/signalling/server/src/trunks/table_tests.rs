use std::collections::HashMap;

use super::*;
use sidetone_model::party::Transport;

fn trunk(name: &str, prefix: &str, priority: u32, weight: u32) -> Trunk {
    let address = format!("192.0.2.{}:5060", name.len()).parse().unwrap();
    let record = pb::Trunk {
        routes: vec![pb::TrunkRoute { prefix: prefix.to_owned(), priority, weight }],
        outbound: vec![pb::NumberRule { prefix: "0".into(), strip: 1, prepend: "+49".into() }],
        ..pb::Trunk::default()
    };
    Trunk {
        key: (tenant(), name.to_owned()),
        record,
        password: None,
        targets: vec![Target { transport: Transport::Udp, address }],
        sources: Vec::new(),
        held: true,
    }
}

fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

fn names(
    table: &Table,
    number: &str,
    conditions: &mut HashMap<TrunkKey, Condition>,
    now: Instant,
) -> Vec<String> {
    let ways = table.ways(&tenant(), number, conditions, &mut |_| 0, now);
    ways.into_iter().map(|way| format!("{} {}", way.key.1, way.number)).collect()
}

#[test]
fn the_longest_prefix_then_priority_and_those_that_rest_last() {
    let table =
        Table { trunks: vec![trunk("a", "", 0, 0), trunk("bb", "+49", 20, 1), trunk("ccc", "+49", 10, 1)] };
    let (mut conditions, now) = (HashMap::new(), Instant::now());
    assert_eq!(names(&table, "030", &mut conditions, now), ["ccc +4930", "bb +4930", "a +4930"]);
    assert_eq!(names(&table, "112", &mut conditions, now), ["a 112"]);
    let key = table.trunks[2].key.clone();
    conditions.get_mut(&key).unwrap().failed(now);
    assert_eq!(names(&table, "030", &mut conditions, now), ["bb +4930", "a +4930", "ccc +4930"]);
    let later = now + Duration::from_secs(6);
    assert_eq!(names(&table, "030", &mut conditions, later)[0], "ccc +4930");
}

#[test]
fn limits_leave_a_trunk_out() {
    let mut table = Table { trunks: vec![trunk("a", "", 0, 0)] };
    table.trunks[0].record.calls_max = 1;
    let (mut conditions, now) = (HashMap::new(), Instant::now());
    assert_eq!(names(&table, "1", &mut conditions, now).len(), 1);
    let key = table.trunks[0].key.clone();
    conditions.get_mut(&key).unwrap().begin(0, now);
    assert_eq!(names(&table, "1", &mut conditions, now).len(), 0);
    conditions.get_mut(&key).unwrap().end();
    table.trunks[0].record.calls_per_s = 2;
    for left in [1, 0] {
        conditions.get_mut(&key).unwrap().begin(2, now);
        conditions.get_mut(&key).unwrap().end();
        assert_eq!(names(&table, "1", &mut conditions, now).len(), left);
    }
    assert_eq!(names(&table, "1", &mut conditions, now + Duration::from_secs(1)).len(), 1);
}

#[test]
fn a_trunk_that_another_replica_serves_is_no_way() {
    let mut table = Table { trunks: vec![trunk("a", "", 0, 0), trunk("bb", "", 1, 0)] };
    table.trunks[0].held = false;
    let (mut conditions, now) = (HashMap::new(), Instant::now());
    assert_eq!(names(&table, "1", &mut conditions, now), ["bb 1"]);
    let other = table.trunks[1].key.clone();
    conditions.get_mut(&other).unwrap().failed(now);
    assert_eq!(names(&table, "1", &mut conditions, now), ["bb 1"], "also when the own one rests");
}

#[test]
fn weights_share_the_calls() {
    let table = Table { trunks: vec![trunk("a", "", 0, 3), trunk("bb", "", 0, 1)] };
    let (mut conditions, now) = (HashMap::new(), Instant::now());
    let mut firsts = 0;
    for at in 1..=4 {
        let ways = table.ways(&tenant(), "1", &mut conditions, &mut |_| at, now);
        firsts += u32::from(ways[0].key.1 == "a");
    }
    assert_eq!(firsts, 3);
}
