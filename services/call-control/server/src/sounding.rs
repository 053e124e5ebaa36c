//! How the legs of calls that go on sound, asked of the media nodes that have them: samples, and no facts (design rule 3).

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use sidetone_model::ids::NodeId;
use sidetone_proto::callcontrol::v1 as pb;
use sidetone_proto::media::v1 as media;
use tonic::Request;

use crate::CallControl;

/// Whoever asks for calls gets them without their sound when a node takes longer than this.
const ANSWER_MAX: Duration = Duration::from_secs(1);

impl CallControl {
    /// Fills in how live legs sound. What cannot be had is left out.
    pub(crate) async fn tell_sound(&self, calls: &mut [pb::Call]) {
        let mut of_nodes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for call in calls.iter() {
            for leg in call.legs.iter().filter(|leg| leg.ended_unix_ms == 0 && !leg.node_id.is_empty()) {
                let ids = of_nodes.entry(leg.node_id.clone()).or_default();
                if ids.last() != Some(&call.call_id) {
                    ids.push(call.call_id.clone());
                }
            }
        }
        let asked = of_nodes.into_iter().map(|(node, call_ids)| self.sound_of(node, call_ids));
        let mut sounds: BTreeMap<String, pb::LegSound> =
            join_all(asked).await.into_iter().flatten().collect();
        for leg in calls.iter_mut().flat_map(|call| &mut call.legs) {
            leg.sound = sounds.remove(&leg.leg_id);
        }
    }

    async fn sound_of(&self, node: String, call_ids: Vec<String>) -> Vec<(String, pb::LegSound)> {
        let service = node.parse::<NodeId>().ok().and_then(|node| self.node(&node).ok());
        let Some(service) = service else { return Vec::new() };
        let request = Request::new(media::ListLegsRequest { call_ids });
        let Ok(Ok(listed)) = tokio::time::timeout(ANSWER_MAX, service.list_legs(request)).await else {
            return Vec::new();
        };
        let legs = listed.into_inner().legs.into_iter();
        legs.filter_map(|leg| Some((leg.leg_id, sound(leg.stats?)?))).collect()
    }
}

/// None before anything came.
fn sound(stats: media::LegStats) -> Option<pb::LegSound> {
    (stats.packets_received > 0).then(|| pb::LegSound {
        encoding_received: stats.encoding_received,
        encoding_sent: stats.encoding_sent,
        packets_received: stats.packets_received,
        packets_lost: stats.packets_lost,
        packets_late: stats.packets_late,
        packets_sent: stats.packets_sent,
        jitter_us: stats.jitter_us,
        round_trip_us: stats.round_trip_us,
        rating: stats.rating,
        mean_opinion_hundredths: stats.mean_opinion_hundredths,
        far_mean_opinion_hundredths: stats.far.map_or(0, |far| far.mean_opinion_hundredths),
    })
}
