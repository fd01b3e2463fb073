/* A project (FOLDER/p), a store and a folder of releases, for the tests of materialize. */
#ifndef GRID_TESTS_UNIT_FS_RELEASE_H
#define GRID_TESTS_UNIT_FS_RELEASE_H

#include "tests/unit/fs/tree.h"

#include "fs/materialize.h"
#include "fs/publish.h"

struct release_fixture {
    char *folder;
    struct store *store;
    int releases; /* descriptor of FOLDER/releases */
};

static inline int release_setup(void **state)
{
    static struct release_fixture f;
    f = (struct release_fixture){.folder = tree_make()};
    tree_dir(f.folder, "p");
    tree_dir(f.folder, "releases");
    f.releases = tree_open(tree_path(f.folder, "releases"));
    assert_int_equal(store_open(tree_path(f.folder, "store"), NULL, NULL, &f.store), 0);
    *state = &f;
    return 0;
}

static inline int release_teardown(void **state)
{
    struct release_fixture *f = *state;
    close(f->releases);
    store_close(f->store);
    tree_remove(f->folder);
    return 0;
}

static inline struct object_id release_of(struct release_fixture *f)
{
    struct publish_result out;
    int fd = tree_open(tree_path(f->folder, "p"));
    assert_int_equal(release_publish(f->store, fd, NULL, NULL, &out), 0);
    close(fd);
    return out.root;
}

static inline void release_assert_same(struct release_fixture *f, const char *a, const char *b)
{
    char command[8192];
    snprintf(command, sizeof command, "diff -r --no-dereference %s/%s %s/%s", f->folder, a, f->folder, b);
    assert_int_equal(system(command), 0);
}

/* Nothing but finished trees and links is in the folder of releases. */
static inline size_t release_count(struct release_fixture *f)
{
    char command[4096];
    snprintf(command, sizeof command, "exit $(ls -A %s/releases | wc -l)", f->folder);
    return (size_t) WEXITSTATUS(system(command));
}

#endif
