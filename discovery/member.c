/* Packing and unpacking of a member's record, every text checked and every count capped. */
#include "discovery/member.h"

#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "discovery/member_quick.h"

const char *member_state_name(enum member_state state)
{
    static const char *const names[] = {"alive", "stalled", "dead", "left", "evicted"};
    return (unsigned) state < 5 ? names[state] : "unknown";
}

/* ---- eight characters at a time ---- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define TOPS EACH(0x80)

static uint64_t eight_at(const uint8_t *at)
{
    uint64_t eight;
    memcpy(&eight, at, sizeof eight);
    return eight;
}

/* The top bits of those that are at least `least`, which is 1 to 0x7f; all are below 0x80. */
static uint64_t from(uint64_t eight, uint8_t least)
{
    return (eight + EACH(0x80u - least)) & TOPS;
}

static bool all_hex(uint64_t eight)
{
    uint64_t digits = from(eight & ~TOPS, '0') & ~from(eight & ~TOPS, '9' + 1), letters = from(eight & ~TOPS, 'a') & ~from(eight & ~TOPS, 'f' + 1);
    return (eight & TOPS) == 0 && (digits | letters) == TOPS;
}

/* Plain ASCII, no control characters. */
static bool all_plain(uint64_t eight)
{
    return (eight & TOPS) == 0 && (from(eight, ' ') & ~from(eight, 0x7f)) == TOPS;
}

bool member_id_valid(struct slice id)
{
    if (id.size != MEMBER_ID_SIZE - 1)
        return false;
    for (size_t i = 0; i < id.size; i += sizeof(uint64_t))
        if (!all_hex(eight_at(id.data + i)))
            return false;
    return true;
}

bool member_runs(const struct member *m, const char *root, uint64_t sequence, struct slice publisher)
{
    if (strcmp(m->release, root) != 0)
        return false;
    return m->release_sequence == 0 || (m->release_sequence == sequence && slice_equal_str(publisher, m->release_publisher));
}

static bool names_all_tasks(const struct member *m)
{
    for (size_t i = 0; i < m->capability_count; i++)
        if (strcmp(m->capabilities[i], MEMBER_NAMES_ALL_TASKS) == 0)
            return true;
    return false;
}

bool member_lacks_task(const struct member *m, const char *task)
{
    for (size_t i = 0; i < m->task_count; i++)
        if (strcmp(m->tasks[i].name, task) == 0)
            return false;
    return names_all_tasks(m);
}

const char *member_task_fault(const struct member *m, const char *task)
{
    for (size_t i = 0; i < m->task_count; i++)
        if (strcmp(m->tasks[i].name, task) == 0)
            return m->tasks[i].fault[0] != '\0' ? m->tasks[i].fault : NULL;
    return NULL;
}

static bool is_control(uint8_t byte)
{
    return byte < 0x20 || byte == 0x7f;
}

const char *member_fault_shown(struct arena *arena, const char *fault)
{
    struct slice all = slice_of_str(fault), left = all;
    for (size_t n; (n = slice_utf8_length(left)) > 0 && left.data + n <= all.data + MEMBER_FAULT_MAX;)
        left = slice_from(left, n);
    char *shown = arena_str(arena, slice_first(all, all.size - left.size));
    for (char *at = shown; at && *at; at++)
        if (is_control((uint8_t) *at))
            *at = ' ';
    return shown;
}

/* ---- packing ---- */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *) (uintptr_t) text};
}

static void pack_fields(const struct member *m, Grid__V1__Member *message)
{
    message->id = bytes_of(m->id);
    message->incarnation = m->incarnation;
    message->name = bytes_of(m->name);
    message->api_port = m->api_port;
    message->hostname = bytes_of(m->hostname);
    message->platform = bytes_of(m->platform);
    message->user = bytes_of(m->user);
    message->version = bytes_of(m->version);
    message->started_at_ms = m->started_at_ms;
    message->revision = m->revision;
    message->release = bytes_of(m->release);
    message->release_sequence = m->release_sequence;
    message->release_publisher = bytes_of(m->release_publisher);
    message->release_fetched_bytes = m->release_fetched_bytes;
    message->synchronized = m->synchronized;
    message->leaving = m->leaving;
}

int member_pack(const struct member *m, struct buf *out)
{
    Grid__V1__Member message = GRID__V1__MEMBER__INIT;
    ProtobufCBinaryData addresses[MEMBER_ADDRESSES_MAX], capabilities[MEMBER_CAPABILITIES_MAX];
    if (m->address_count > MEMBER_ADDRESSES_MAX || m->capability_count > MEMBER_CAPABILITIES_MAX)
        return GRID_ELIMIT;
    for (size_t i = 0; i < m->address_count; i++)
        addresses[i] = bytes_of(m->addresses[i]);
    for (size_t i = 0; i < m->capability_count; i++)
        capabilities[i] = bytes_of(m->capabilities[i]);
    pack_fields(m, &message);
    message.n_addresses = m->address_count, message.addresses = addresses;
    message.n_capabilities = m->capability_count, message.capabilities = capabilities;
    return grid__v1__member__get_packed_size(&message) > MEMBER_RECORD_MAX ? GRID_ELIMIT : pb_append(out, &message.base);
}

/* ---- unpacking ---- */

static bool text_valid(ProtobufCBinaryData text, size_t max)
{
    struct slice s = slice_of(text.data, text.len);
    if (s.size > max)
        return false;
    while (s.size >= sizeof(uint64_t) && all_plain(eight_at(s.data)))
        s = slice_from(s, sizeof(uint64_t));
    if (!slice_is_utf8(s))
        return false;
    for (size_t i = 0; i < s.size; i++)
        if (is_control(s.data[i]))
            return false;
    return true;
}

static int take_fixed(ProtobufCBinaryData text, char *out, size_t max)
{
    if (!text_valid(text, max))
        return GRID_EPROTO;
    if (text.len > 0)
        memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return 0;
}

static int take_text_within(struct arena *arena, ProtobufCBinaryData text, size_t max, const char **out)
{
    if (!text_valid(text, max))
        return GRID_EPROTO;
    *out = arena_str(arena, slice_of(text.data, text.len));
    return *out ? 0 : GRID_ENOMEM;
}

static int take_text(struct arena *arena, ProtobufCBinaryData text, const char **out)
{
    return take_text_within(arena, text, MEMBER_TEXT_MAX, out);
}

static int take_list(struct arena *arena, const ProtobufCBinaryData *texts, size_t count, size_t max, const char *const **out)
{
    if (count > max)
        return GRID_ELIMIT;
    const char **list = arena_calloc(arena, count + 1, sizeof *list);
    int err = list ? 0 : GRID_ENOMEM;
    for (size_t i = 0; err == 0 && i < count; i++)
        err = take_text(arena, texts[i], &list[i]);
    *out = list;
    return err;
}

/* Empty, or an id. */
static int take_optional_id(ProtobufCBinaryData text, char out[MEMBER_ID_SIZE])
{
    if (text.len > 0 && !member_id_valid(slice_of(text.data, text.len)))
        return GRID_EPROTO;
    return take_fixed(text, out, MEMBER_ID_SIZE - 1);
}

static int take_identity(const Grid__V1__Member *message, struct member *out)
{
    if (!member_id_valid(slice_of(message->id.data, message->id.len)) || message->name.len == 0 ||
        message->incarnation >= MEMBER_INCARNATION_LIMIT || message->api_port > 65535 || message->started_at_ms < 0)
        return GRID_EPROTO;
    int err = take_fixed(message->id, out->id, MEMBER_ID_SIZE - 1);
    if (err == 0)
        err = take_optional_id(message->release, out->release);
    if (err == 0)
        err = take_optional_id(message->release_publisher, out->release_publisher);
    return err != 0 ? err : take_fixed(message->name, out->name, MEMBER_NAME_MAX);
}

static int take_texts(const Grid__V1__Member *message, struct arena *arena, struct member *out)
{
    const struct {
        ProtobufCBinaryData from;
        const char **to;
    } rows[] = {{message->hostname, &out->hostname},
                {message->platform, &out->platform},
                {message->user, &out->user},
                {message->version, &out->version}};
    int err = 0;
    for (size_t i = 0; err == 0 && i < sizeof rows / sizeof rows[0]; i++)
        err = take_text(arena, rows[i].from, rows[i].to);
    return err;
}

static int take_message(const Grid__V1__Member *message, struct arena *arena, struct member *out)
{
    *out = (struct member){
        .incarnation = message->incarnation,
        .revision = message->revision,
        .started_at_ms = message->started_at_ms,
        .api_port = message->api_port,
        .synchronized = message->synchronized,
        .leaving = message->leaving,
        .release_sequence = message->release_sequence,
        .release_fetched_bytes = message->release_fetched_bytes,
        .address_count = message->n_addresses,
        .capability_count = message->n_capabilities,
    };
    int err = take_identity(message, out);
    if (err == 0)
        err = take_texts(message, arena, out);
    if (err == 0)
        err = take_list(arena, message->addresses, message->n_addresses, MEMBER_ADDRESSES_MAX, &out->addresses);
    if (err == 0)
        err = take_list(arena, message->capabilities, message->n_capabilities, MEMBER_CAPABILITIES_MAX, &out->capabilities);
    return err;
}

int member_unpack(struct slice record, struct arena *arena, struct member *out)
{
    struct member_quick quick;
    if (record.size > MEMBER_RECORD_MAX)
        return GRID_ELIMIT;
    if (member_quick_read(record, &quick))
        return take_message(&quick.message, arena, out);
    const Grid__V1__Member *message = pb_unpack(&grid__v1__member__descriptor, arena, record);
    return message ? take_message(message, arena, out) : GRID_EPROTO;
}

/* ---- load ---- */

static Grid__V1__TaskReady task_message(const struct member_task *task)
{
    Grid__V1__TaskReady message = GRID__V1__TASK_READY__INIT;
    message.task = bytes_of(task->name);
    message.instances = task->instances;
    message.fault = bytes_of(task->fault);
    message.renewing = task->renewing;
    return message;
}

int member_load_pack(const struct member_load *load, struct buf *out)
{
    Grid__V1__Load message = GRID__V1__LOAD__INIT;
    Grid__V1__TaskReady *tasks = calloc(load->task_count + 1, sizeof *tasks);
    Grid__V1__TaskReady **task_at = calloc(load->task_count + 1, sizeof *task_at);
    int err = load->task_count > MEMBER_TASKS_MAX ? GRID_ELIMIT : tasks && task_at ? 0 : GRID_ENOMEM;
    for (size_t i = 0; err == 0 && i < load->task_count; i++) {
        tasks[i] = task_message(&load->tasks[i]);
        task_at[i] = &tasks[i];
    }
    message.started_at_ms = load->started_at_ms;
    message.revision = load->revision;
    message.in_flight = load->in_flight;
    message.queued = load->queued;
    message.cpu_percent = load->cpu_percent;
    message.n_tasks = load->task_count, message.tasks = task_at;
    message.release_sequence = load->tasks_sequence;
    if (err == 0)
        err = grid__v1__load__get_packed_size(&message) > MEMBER_LOAD_MAX ? GRID_ELIMIT : pb_append(out, &message.base);
    free(tasks);
    free(task_at);
    return err;
}

static int take_task(struct arena *arena, const Grid__V1__TaskReady *message, struct member_task *out)
{
    out->instances = message->instances;
    out->renewing = message->renewing;
    int err = message->task.len == 0 ? GRID_EPROTO : take_text(arena, message->task, &out->name);
    return err != 0 ? err : take_text_within(arena, message->fault, MEMBER_FAULT_MAX, &out->fault);
}

/* Everything but its tasks, for which there is room. */
static int take_load(struct arena *arena, const Grid__V1__Load *message, size_t task_count, struct member_task **tasks, struct member_load *out)
{
    if (task_count > MEMBER_TASKS_MAX)
        return GRID_ELIMIT;
    *tasks = arena_calloc(arena, task_count + 1, sizeof **tasks);
    *out = (struct member_load){.started_at_ms = message->started_at_ms, .revision = message->revision, .in_flight = message->in_flight, .queued = message->queued,
                                .cpu_percent = message->cpu_percent, .tasks = *tasks, .task_count = task_count, .tasks_sequence = message->release_sequence};
    return *tasks ? 0 : GRID_ENOMEM;
}

static int unpack_other_load(struct slice packed, struct arena *arena, struct member_load *out)
{
    struct member_task *tasks;
    Grid__V1__Load *message = grid__v1__load__unpack(NULL, packed.size, packed.data);
    if (!message)
        return GRID_EPROTO;
    int err = take_load(arena, message, message->n_tasks, &tasks, out);
    for (size_t i = 0; err == 0 && i < message->n_tasks; i++)
        err = take_task(arena, message->tasks[i], &tasks[i]);
    grid__v1__load__free_unpacked(message, NULL);
    return err;
}

int member_load_unpack(struct slice packed, struct arena *arena, struct member_load *out)
{
    struct member_quick_load quick;
    struct member_task *tasks;
    Grid__V1__TaskReady task;
    if (packed.size > MEMBER_LOAD_MAX)
        return GRID_ELIMIT;
    if (!member_quick_read_load(packed, &quick))
        return unpack_other_load(packed, arena, out);
    int err = take_load(arena, &quick.message, quick.task_count, &tasks, out);
    for (size_t i = 0; err == 0 && i < quick.task_count; i++) {
        member_quick_next_task(&quick, &task);
        err = take_task(arena, &task, &tasks[i]);
    }
    return err;
}

uint32_t member_load_quantized(uint32_t number)
{
    unsigned shift = 0;
    while (number >> shift >= 8)
        shift++;
    return number >> shift << shift;
}

/* ---- seals ---- */

int member_seal_pack(const struct member_seal *seal, struct buf *out)
{
    Grid__V1__SealedMember message = GRID__V1__SEALED_MEMBER__INIT;
    if (seal->record.size > MEMBER_RECORD_MAX || seal->certificate.size > MEMBER_CERTIFICATE_MAX || seal->signature.size > MEMBER_SIGNATURE_MAX)
        return GRID_ELIMIT;
    message.record = pb_bytes(seal->record);
    message.certificate = pb_bytes(seal->certificate);
    message.signature = pb_bytes(seal->signature);
    return pb_append(out, &message.base);
}

int member_seal_unpack(struct slice sealed, struct arena *arena, struct member_seal *out)
{
    if (sealed.size > MEMBER_SEALED_MAX)
        return GRID_ELIMIT;
    if (!member_quick_read_seal(sealed, out)) {
        const Grid__V1__SealedMember *message = pb_unpack(&grid__v1__sealed_member__descriptor, arena, sealed);
        if (!message)
            return GRID_EPROTO;
        *out = (struct member_seal){pb_slice(message->record), pb_slice(message->certificate), pb_slice(message->signature)};
    }
    bool fits = out->record.size <= MEMBER_RECORD_MAX && out->certificate.size <= MEMBER_CERTIFICATE_MAX && out->signature.size <= MEMBER_SIGNATURE_MAX;
    return fits ? 0 : GRID_ELIMIT;
}

/* The record is the seal's first field, the id the record's, both of length-delimited type (0x0a). */
struct slice member_seal_peek_id(struct slice sealed)
{
    size_t at = 1;
    while (at < sealed.size && (sealed.data[at] & 0x80) != 0) /* the record's length */
        at++;
    struct slice record = slice_from(sealed, at + 1);
    bool fits = record.size >= 2 + MEMBER_ID_SIZE - 1 && sealed.data[0] == 0x0a && record.data[0] == 0x0a && record.data[1] == MEMBER_ID_SIZE - 1;
    return fits ? slice_of(record.data + 2, MEMBER_ID_SIZE - 1) : slice_of(NULL, 0);
}

int member_seal_signed_bytes(struct slice record, struct slice certificate, struct buf *out)
{
    int err = buf_append_str(out, "grid member record 1\n");
    if (err == 0)
        err = buf_append_u32be(out, (uint32_t) certificate.size);
    if (err == 0)
        err = buf_append(out, certificate);
    return err == 0 ? buf_append(out, record) : err;
}

int member_copy(const struct member *m, struct arena *arena, struct member *out)
{
    const char **addresses = arena_calloc(arena, m->address_count + 1, sizeof *addresses);
    const char **capabilities = arena_calloc(arena, m->capability_count + 1, sizeof *capabilities);
    struct member_task *tasks = arena_calloc(arena, m->task_count + 1, sizeof *tasks);
    if (!addresses || !capabilities || !tasks)
        return GRID_ENOMEM;
    *out = *m;
    bool fine = (out->hostname = arena_str(arena, slice_of_str(m->hostname))) && (out->platform = arena_str(arena, slice_of_str(m->platform))) &&
                (out->user = arena_str(arena, slice_of_str(m->user))) && (out->version = arena_str(arena, slice_of_str(m->version)));
    for (size_t i = 0; fine && i < m->address_count; i++)
        fine = (addresses[i] = arena_str(arena, slice_of_str(m->addresses[i]))) != NULL;
    for (size_t i = 0; fine && i < m->capability_count; i++)
        fine = (capabilities[i] = arena_str(arena, slice_of_str(m->capabilities[i]))) != NULL;
    for (size_t i = 0; fine && i < m->task_count; i++) {
        tasks[i].instances = m->tasks[i].instances;
        tasks[i].renewing = m->tasks[i].renewing;
        fine = (tasks[i].name = arena_str(arena, slice_of_str(m->tasks[i].name))) != NULL && (tasks[i].fault = arena_str(arena, slice_of_str(m->tasks[i].fault))) != NULL;
    }
    out->addresses = addresses, out->capabilities = capabilities, out->tasks = tasks;
    return fine ? 0 : GRID_ENOMEM;
}
