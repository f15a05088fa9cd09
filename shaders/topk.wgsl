// The first few positions of a row in the order of its keys, one after the other. Keys are spelt as unsigned
// numbers that sort as they do: the sign of an integer flipped, all bits of a negative float.

const NOWHERE: u32 = 0xffffffffu;

var<workgroup> best_keys: array<u32, THREADS>;
var<workgroup> best_places: array<u32, THREADS>;

fn spell(bits: u32) -> u32 {
    let negative = (bits >> 31u) != 0u && INTEGER == 0u;
    let rising = bits ^ select(0x80000000u, 0xffffffffu, negative);
    return select(rising, ~rising, LARGEST != 0u);
}

fn is_before(key: u32, place: u32, other_key: u32, other_place: u32) -> bool {
    return key < other_key || (key == other_key && place < other_place);
}

@compute @workgroup_size(THREADS)
fn pick(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group_index(group);
    if (row >= GROUPS) {
        return;
    }
    var last_key = 0u;
    var last_place = NOWHERE;
    for (var count = 0u; count < PICKS; count++) {
        var key = NOWHERE;
        var place = NOWHERE;
        for (var j = thread; j < N; j += THREADS) {
            let candidate = spell(bitcast<u32>(load_keys(row * N + j)));
            let is_open = count == 0u || is_before(last_key, last_place, candidate, j);
            if (is_open && is_before(candidate, j, key, place)) {
                key = candidate;
                place = j;
            }
        }
        best_keys[thread] = key;
        best_places[thread] = place;
        workgroupBarrier();
        for (var reach = THREADS / 2u; reach > 0u; reach /= 2u) {
            if (thread < reach) {
                let other = thread + reach;
                if (is_before(best_keys[other], best_places[other], best_keys[thread], best_places[thread])) {
                    best_keys[thread] = best_keys[other];
                    best_places[thread] = best_places[other];
                }
            }
            workgroupBarrier();
        }
        last_key = best_keys[0];
        last_place = best_places[0];
        if (thread == 0u) {
            store_y(row * PICKS + count, i32(last_place + select(0u, row * N, FLAT != 0u)));
        }
        workgroupBarrier();
    }
}
