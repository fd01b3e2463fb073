/* Projects of a few files of all kinds; a life is a struct with store, log and trees open. */
#include "tests/faults/life.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/materialize.h"
#include "fs/publish.h"
#include "fs/reach.h"
#include "tests/faults/calls.h"

enum { SHARED_FILES = 18, OWN_BYTES = 70000, LONG_BYTES = 150000, KEPT = 2, NEXT_VERSION = 7 };
#define LOG_NAME "releases.log"
#define LINK "current"

#define MUST(condition)                                                                          \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            fprintf(stderr, "tests/faults: %s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, strerror(errno)); \
            exit(1);                                                                             \
        }                                                                                        \
    } while (0)

/* ---- the world ---- */

const char *life_path(const struct life_world *w, const char *name)
{
    static char paths[4][4096];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", w->folder, name);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}

static void remove_all(const char *path)
{
    nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

void life_clear(const struct life_world *w, const char *name)
{
    remove_all(life_path(w, name));
    MUST(mkdir(life_path(w, name), 0755) == 0);
}

/* Bytes that do not compress, the same for the same seed. */
static void write_noise(const struct life_world *w, const char *name, size_t size, uint64_t seed, int changed)
{
    uint8_t *bytes = malloc(size + 1);
    FILE *file = fopen(life_path(w, name), "wb");
    MUST(bytes && file);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t) (seed >> 56);
    }
    if (changed > 0)
        bytes[size / 2] = (uint8_t) changed;
    MUST(fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
    free(bytes);
}

static void write_project(const struct life_world *w, unsigned version)
{
    char name[64], target[16];
    snprintf(name, sizeof name, "p%u", version);
    life_clear(w, name);
    snprintf(name, sizeof name, "p%u/lib", version);
    life_clear(w, name);
    for (unsigned i = 0; i < SHARED_FILES; i++) {
        snprintf(name, sizeof name, "p%u/%sshared%u", version, i % 2 ? "lib/" : "", i);
        write_noise(w, name, i * 200, i + 1, 0); /* the first one is empty */
    }
    snprintf(name, sizeof name, "p%u/lib/long", version);
    write_noise(w, name, LONG_BYTES, 100, (int) version);
    snprintf(name, sizeof name, "p%u/lib/own%u", version, version % 2); /* comes, goes, and comes again with another content */
    write_noise(w, name, version == 5 ? OWN_BYTES / 3 : OWN_BYTES, 200 + version, 0); /* so that what takes its place in a segment is longer */
    snprintf(name, sizeof name, "p%u/changed", version);
    write_noise(w, name, 300, 300 + version, 0);
    MUST(chmod(life_path(w, name), 0755) == 0);
    snprintf(target, sizeof target, "lib/own%u", version % 2);
    snprintf(name, sizeof name, "p%u/link", version);
    MUST(symlink(target, life_path(w, name)) == 0);
}

static bool root_of(const struct life_world *w, const char *folder, struct object_id *root)
{
    struct publish_result published;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    int err = release_publish(w->scratch, fd, NULL, NULL, &published);
    close(fd);
    *root = published.root;
    return err == 0;
}

static char *make_folder(void)
{
    struct statvfs vfs;
    char *path = NULL;
    const char *base = getenv("TMPDIR");
    bool in_memory = !base && statvfs("/dev/shm", &vfs) == 0 && access("/dev/shm", W_OK) == 0 && (uint64_t) vfs.f_bavail * vfs.f_frsize > 48u << 20;
    MUST(asprintf(&path, "%s/grid-faults-XXXXXX", base ? base : in_memory ? "/dev/shm" : "/tmp") > 0 && mkdtemp(path));
    return path;
}

static void make_start(const struct life_world *w);

void life_world_create(struct life_world *w)
{
    char name[16];
    umask(022);
    *w = (struct life_world){.folder = make_folder()};
    MUST(store_open(life_path(w, "scratch"), NULL, NULL, &w->scratch) == 0);
    for (unsigned version = 1; version <= LIFE_VERSIONS; version++) {
        write_project(w, version);
        snprintf(name, sizeof name, "p%u", version);
        MUST(root_of(w, life_path(w, name), &w->roots[version]));
    }
    make_start(w);
}

void life_world_dispose(struct life_world *w)
{
    store_close(w->scratch);
    remove_all(w->folder);
    free(w->folder);
}

/* ---- copying ---- */

static void copy_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
    static uint8_t bytes[1 << 20];
    int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC), to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st->st_mode & 07777);
    ssize_t n;
    MUST(from >= 0 && to >= 0);
    while ((n = read(from, bytes, sizeof bytes)) > 0)
        MUST(write(to, bytes, (size_t) n) == n);
    MUST(futimens(to, (struct timespec[2]){st->st_mtim, st->st_mtim}) == 0);
    close(from);
    close(to);
}

static void copy_names(int from, int to)
{
    DIR *dir = fdopendir(from);
    MUST(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        char target[256] = "";
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        MUST(fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
        if (S_ISREG(st.st_mode)) {
            copy_file(from, to, e->d_name, &st);
        } else if (S_ISLNK(st.st_mode)) {
            MUST(readlinkat(from, e->d_name, target, sizeof target - 1) > 0 && symlinkat(target, to, e->d_name) == 0);
        } else {
            MUST(mkdirat(to, e->d_name, st.st_mode & 07777) == 0);
            int below = openat(to, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            copy_names(openat(from, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), below);
            close(below);
        }
    }
    closedir(dir);
}

void life_copy(const struct life_world *w, const char *from, const char *to)
{
    life_clear(w, to);
    int fd = open(life_path(w, to), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    copy_names(open(life_path(w, from), O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd);
    close(fd);
}

/* ---- a life ---- */

struct life {
    const struct life_world *world;
    int state_fd, trees_fd;
    struct store *store;
    struct release_log *log;
    struct fs_report report;
    char current[OBJECT_ID_HEX + 1];
    bool patches; /* trees that nobody runs in are patched */
    volatile life_claim *claim;
};

/* Of a first release nothing is promised before it is in the log: until then the folders of store and trees need not be there either. */
static void promise(struct life *l, life_claim claim)
{
    if ((claim >> 8 & 255) == 0)
        return;
    *l->claim = claim;
    calls_mark(claim);
}

static uint32_t newest(const struct life *l)
{
    const struct release_entry *e = release_log_current(l->log, SLICE("default"));
    return e ? (uint32_t) e->sequence : 0;
}

static uint32_t runs(const struct life *l)
{
    return *l->claim >> 16;
}

/* As server/release/releases.c opens its parts. What the log says then is told to other nodes. */
static int life_open(struct life *l, const struct life_world *w, const char *name, volatile life_claim *claim)
{
    static const struct store_options small = {.segment_bytes = 400000};
    char store[4096];
    *l = (struct life){.world = w, .state_fd = -1, .trees_fd = -1, .claim = claim};
    snprintf(store, sizeof store, "%s/store", life_path(w, name));
    l->state_fd = open(life_path(w, name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->state_fd < 0 || (mkdirat(l->state_fd, "releases", 0755) != 0 && errno != EEXIST))
        return grid_err_from_errno(errno);
    l->trees_fd = openat(l->state_fd, "releases", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = l->trees_fd < 0 ? grid_err_from_errno(errno) : materialize_clean(l->trees_fd);
    if (err == 0)
        err = store_open(store, &small, &l->report, &l->store);
    if (err == 0)
        err = release_log_load(l->state_fd, LOG_NAME, &l->report, &l->log);
    if (err != 0)
        return err;
    promise(l, life_claim_of(runs(l), newest(l), 0, LIFE_NOTHING));
    if (materialize_current(l->trees_fd, LINK, l->current, sizeof l->current) != 0)
        l->current[0] = '\0';
    return 0;
}

static void life_close(struct life *l, char why[LIFE_ERROR_MAX])
{
    snprintf(why, LIFE_ERROR_MAX, "%s", l->report.error ? l->report.error : "");
    store_close(l->store);
    release_log_destroy(l->log);
    fs_report_dispose(&l->report);
    if (l->trees_fd >= 0)
        close(l->trees_fd);
    if (l->state_fd >= 0)
        close(l->state_fd);
}

static int build(struct life *l, const struct object_id *root, char hex[OBJECT_ID_HEX + 1])
{
    char names[LIFE_VERSIONS][OBJECT_ID_HEX + 1];
    const char *spares[LIFE_VERSIONS];
    struct materialize_options options = {.previous = l->current[0] ? l->current : NULL, .sync = true, .spares = spares, .guarded = l->patches};
    struct materialize_result built;
    for (unsigned version = 1; l->patches && version <= LIFE_VERSIONS; version++) {
        object_id_to_hex(&l->world->roots[version], names[version - 1]);
        spares[options.spare_count] = names[version - 1];
        options.spare_count += strcmp(names[version - 1], l->current) != 0 && faccessat(l->trees_fd, names[version - 1], F_OK, 0) == 0;
    }
    object_id_to_hex(root, hex);
    return materialize_tree(l->store, root, l->trees_fd, hex, &options, &l->report, &built);
}

/* As release_job.c ends a job: the log with the entry, then the link, then the entry counts. */
static int commit(struct life *l, const struct object_id *root, unsigned version)
{
    char hex[OBJECT_ID_HEX + 1];
    uint32_t before = newest(l);
    struct release_entry e = {.app = SLICE("default"), .sequence = before + 1, .root = *root, .publisher = SLICE("0123")};
    enum release_outcome outcome;
    int err = build(l, root, hex);
    if (err != 0)
        return err;
    promise(l, life_claim_of(runs(l), before, version, LIFE_BUILT));
    err = hash_sha256(e.config, e.config_hash);
    if (err == 0)
        err = release_log_add(l->log, &e, &outcome);
    if (err == 0)
        err = release_log_save(l->log, l->state_fd, LOG_NAME);
    if (err != 0)
        return err;
    promise(l, life_claim_of(runs(l), before + 1, 0, LIFE_NOTHING));
    err = materialize_switch(l->trees_fd, LINK, hex);
    if (err == 0) {
        promise(l, life_claim_of(before + 1, before + 1, 0, LIFE_NOTHING));
        memcpy(l->current, hex, sizeof l->current);
    }
    return err;
}

static int publish(struct life *l, unsigned version, struct publish_result *out)
{
    char name[16];
    snprintf(name, sizeof name, "p%u", version);
    int fd = open(life_path(l->world, name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return grid_err_from_errno(errno);
    int err = release_publish(l->store, fd, NULL, &l->report, out);
    close(fd);
    return err;
}

static int deploy(struct life *l, unsigned version)
{
    struct publish_result published;
    struct store_hold hold;
    store_hold_begin(l->store, &hold);
    int err = publish(l, version, &published);
    if (err == 0) {
        promise(l, life_claim_of(runs(l), newest(l), version, LIFE_STORED));
        err = commit(l, &published.root, version);
    }
    store_hold_end(l->store, &hold);
    return err;
}

static int roll_back(struct life *l, unsigned version)
{
    struct store_hold hold;
    store_hold_begin(l->store, &hold);
    int err = commit(l, &l->world->roots[version], version);
    store_hold_end(l->store, &hold);
    return err;
}

static bool is_old(const void *arg, const struct release_entry *e)
{
    return e->sequence + KEPT <= *(const uint64_t *) arg;
}

static int let_go(struct life *l)
{
    uint64_t last = newest(l);
    return release_log_drop_some(l->log, SLICE("default"), is_old, &last) > 0 ? release_log_save(l->log, l->state_fd, LOG_NAME) : 0;
}

/* As server/release/tidy.c: trees that nobody runs in, then objects. */
static int collect(struct life *l)
{
    struct store_collection collection;
    struct store_collected collected;
    struct id_map live;
    char hex[OBJECT_ID_HEX + 1];
    int err = 0;
    for (unsigned version = 1; version <= LIFE_VERSIONS; version++) {
        object_id_to_hex(&l->world->roots[version], hex);
        if (strcmp(hex, l->current) != 0)
            materialize_remove(l->trees_fd, hex);
    }
    err = store_collect_begin(l->store, &collection);
    if (err != 0)
        return err;
    id_map_init(&live);
    for (size_t i = 0; err == 0 && i < release_log_total(l->log); i++)
        err = release_mark(l->store, &release_log_any(l->log, i)->root, &live, NULL);
    if (err == 0)
        err = store_collect_sweep(l->store, &collection, &live, &collected);
    else
        store_collect_abort(l->store, &collection);
    id_map_dispose(&live);
    return err;
}

static int let_go_and_collect(struct life *l, unsigned version)
{
    (void) version;
    int err = let_go(l);
    return err == 0 ? collect(l) : err;
}

/* ---- courses ---- */

struct step {
    int (*fn)(struct life *l, unsigned version);
    unsigned version;
};

static const struct course {
    const char *name, *start;
    life_claim claim;
    bool patches;
    struct step steps[8];
} COURSES[LIFE_COURSES] = {
    [LIFE_FIRST] = {"a first deploy", "empty", 0, false, {{deploy, 1}}},
    [LIFE_DEPLOY] = {"another deploy", "start", 3 << 16 | 3 << 8, false, {{deploy, 4}}},
    [LIFE_PATCH] = {"a deploy that patches a tree", "start", 3 << 16 | 3 << 8, true, {{deploy, 4}}},
    [LIFE_ROLLBACK] = {"a rollback", "start", 3 << 16 | 3 << 8, false, {{roll_back, 1}}},
    [LIFE_COLLECT] = {"a collection", "start", 3 << 16 | 3 << 8, false, {{let_go_and_collect, 0}}},
    [LIFE_REFILL] = {"a deploy into what a collection cut", "start", 3 << 16 | 3 << 8, false, {{let_go_and_collect, 0}, {deploy, 4}}},
    [LIFE_ALL] = {"a whole life", "start", 3 << 16 | 3 << 8, true, {{deploy, 4}, {let_go_and_collect, 0}, {roll_back, 3}, {deploy, 5}, {let_go_and_collect, 0}}},
};

const char *life_name(enum life_course course)
{
    return COURSES[course].name;
}

const char *life_start(enum life_course course, life_claim *claim)
{
    *claim = COURSES[course].claim;
    return COURSES[course].start;
}

static int run(const struct life_world *w, const char *name, const struct step *steps, bool patches, volatile life_claim *claim, char why[LIFE_ERROR_MAX])
{
    struct life l;
    int err = life_open(&l, w, name, claim);
    l.patches = patches;
    for (; err == 0 && steps->fn; steps++)
        err = steps->fn(&l, steps->version);
    life_close(&l, why);
    return err;
}

int life_run(const struct life_world *w, const char *name, enum life_course course, volatile life_claim *claim, char why[LIFE_ERROR_MAX])
{
    return run(w, name, COURSES[course].steps, COURSES[course].patches, claim, why);
}

int life_deploy(const struct life_world *w, const char *name, unsigned version, volatile life_claim *claim, char why[LIFE_ERROR_MAX])
{
    const struct step steps[] = {{deploy, version}, {0}};
    return run(w, name, steps, true, claim, why);
}

/* Three releases, of which the first one's tree is gone, and what failed publishes left between and behind them. */
static int litter(struct life *l, unsigned version)
{
    struct publish_result published;
    char hex[OBJECT_ID_HEX + 1];
    object_id_to_hex(&l->world->roots[1], hex);
    return publish(l, version, &published) == 0 ? materialize_remove(l->trees_fd, hex) : GRID_EIO;
}

static void make_start(const struct life_world *w)
{
    static const struct step steps[] = {{deploy, 1}, {deploy, 2}, {litter, 6}, {deploy, 3}, {litter, 5}, {0}};
    volatile life_claim claim = 0;
    char why[LIFE_ERROR_MAX];
    life_clear(w, "empty");
    life_clear(w, "start");
    MUST(run(w, "start", steps, false, &claim, why) == 0);
}

/* ---- judgement ---- */

static char verdict[LIFE_ERROR_MAX + 200];

#define JUDGE(condition, ...)                                    \
    do {                                                         \
        if (!(condition)) {                                      \
            snprintf(verdict, sizeof verdict, __VA_ARGS__);      \
            return verdict;                                      \
        }                                                        \
    } while (0)

static const char *judge_release(struct life *l, const struct object_id *root, const char *whose)
{
    char hex[OBJECT_ID_HEX + 1];
    uint64_t missing = 0;
    object_id_to_hex(root, hex);
    int err = release_check(l->store, root, &missing);
    JUDGE(err == 0 && missing == 0, "%s, %.8s, lacks %u objects in the store (%s)", whose, hex, (unsigned) missing, grid_err_text(err));
    return NULL;
}

static const char *judge_tree(struct life *l, const char *name)
{
    char path[4096], real[OBJECT_ID_HEX + 1] = "";
    struct object_id root;
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", l->trees_fd, name);
    bool read = root_of(l->world, path, &root);
    if (read)
        object_id_to_hex(&root, real);
    JUDGE(strcmp(real, name) == 0, "the tree %.8s holds something else: %s", name, read ? real : "it cannot be read");
    return NULL;
}

static const char *judge_log(struct life *l, life_claim claim, uint32_t last)
{
    uint32_t sequence = newest(l), least = claim >> 8 & 255;
    const char *wrong = NULL;
    JUDGE(sequence >= least && sequence <= last, "the log's newest is %u: it must be from %u to %u", sequence, least, last);
    for (size_t i = 0; !wrong && i < release_log_total(l->log); i++)
        wrong = judge_release(l, &release_log_any(l->log, i)->root, "a release in the log");
    return wrong;
}

static const char *judge_current(struct life *l, life_claim claim)
{
    const struct release_entry *e = NULL;
    if (claim >> 16 == 0 && !l->current[0])
        return NULL;
    JUDGE(release_log_find(l->log, SLICE("default"), slice_of_str(l->current), &e) == 0, "what runs, %.8s, is not in the log", l->current);
    JUDGE(e->sequence >= claim >> 16, "what runs is %u, though %u was put in place", (unsigned) e->sequence, claim >> 16);
    JUDGE(faccessat(l->trees_fd, l->current, F_OK, 0) == 0, "the tree that runs, %.8s, is gone", l->current);
    return NULL;
}

/* What is promised of the release in the making. */
static const char *judge_claim(struct life *l, life_claim claim)
{
    const struct object_id *root = &l->world->roots[claim >> 4 & 15];
    char hex[OBJECT_ID_HEX + 1];
    object_id_to_hex(root, hex);
    if ((claim & 15) >= LIFE_BUILT)
        JUDGE(faccessat(l->trees_fd, hex, F_OK, 0) == 0, "the tree %.8s was built, and is gone", hex);
    return (claim & 15) >= LIFE_STORED ? judge_release(l, root, "what was stored") : NULL;
}

static const char *judge_trees(struct life *l)
{
    const char *wrong = NULL;
    DIR *dir = fdopendir(openat(l->trees_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    JUDGE(dir, "the folder of trees cannot be read");
    for (struct dirent *e; !wrong && (e = readdir(dir));)
        if (strlen(e->d_name) == OBJECT_ID_HEX)
            wrong = judge_tree(l, e->d_name);
    closedir(dir);
    return wrong;
}

static const char *judge_next(struct life *l)
{
    struct object_id root = l->world->roots[NEXT_VERSION];
    volatile life_claim claim;
    char hex[OBJECT_ID_HEX + 1];
    l->claim = &claim;
    object_id_to_hex(&root, hex);
    int err = deploy(l, NEXT_VERSION);
    JUDGE(err == 0, "the next deploy fails: %s (%s)", l->report.error ? l->report.error : "", grid_err_text(err));
    err = let_go_and_collect(l, 0);
    JUDGE(err == 0, "the next collection fails: %s", grid_err_text(err));
    const char *wrong = judge_tree(l, hex);
    return wrong ? wrong : judge_release(l, &root, "the next release");
}

static const char *judge_opened(struct life *l, life_claim claim, uint32_t last)
{
    const char *wrong = judge_log(l, claim, last);
    if (!wrong)
        wrong = judge_current(l, claim);
    if (!wrong)
        wrong = judge_claim(l, claim);
    if (!wrong)
        wrong = judge_trees(l);
    return wrong ? wrong : judge_next(l);
}

const char *life_judge(const struct life_world *w, const char *name, life_claim claim, uint32_t last)
{
    char why[LIFE_ERROR_MAX];
    volatile life_claim ignored = 0;
    struct life l;
    int err = life_open(&l, w, name, &ignored);
    const char *wrong = err == 0 ? judge_opened(&l, claim, last) : NULL;
    life_close(&l, why);
    JUDGE(err == 0, "it cannot be opened: %s (%s)", why, grid_err_text(err));
    if (wrong)
        return wrong;
    err = life_open(&l, w, name, &ignored);
    wrong = err == 0 ? judge_log(&l, 0, last + 1) : "it cannot be opened after the next deploy";
    life_close(&l, why);
    return wrong;
}
