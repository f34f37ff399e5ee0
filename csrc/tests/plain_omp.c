/* plain_omp.c: the few calls that gcc makes for our parallel loops, on POSIX threads.
 *
 * ThreadSanitizer does not see how libgomp's threads wait for each other and reports races
 * where there are none.  Threads made here by pthread_create it understands: what it then
 * reports is a race between iterations of our loops.
 */
#include <pthread.h>
#include <stdlib.h>

enum { MOST_THREADS = 64 };

typedef struct {
    void (*body)(void *);
    void *data;
    int number, count;
} member;

static _Thread_local int my_number = 0, my_count = 1;
static pthread_mutex_t atomic = PTHREAD_MUTEX_INITIALIZER;

int omp_get_thread_num(void);
int omp_get_num_threads(void);
void GOMP_parallel(void (*body)(void *), void *data, unsigned count, unsigned flags);
void GOMP_atomic_start(void);
void GOMP_atomic_end(void);

int omp_get_thread_num(void)
{
    return my_number;
}

int omp_get_num_threads(void)
{
    return my_count;
}

static void *run(void *pointer)
{
    member *m = pointer;
    my_number = m->number;
    my_count = m->count;
    m->body(m->data);
    my_number = 0;
    my_count = 1;
    return NULL;
}

/* Run the body once per thread of a team; a count of 1 comes from an `if` that is false. */
void GOMP_parallel(void (*body)(void *), void *data, unsigned count, unsigned flags)
{
    (void)flags;
    pthread_t thread[MOST_THREADS];
    member team[MOST_THREADS];
    const int size = count < 1 ? 1 : (int)count;
    if (size > MOST_THREADS) {
        abort();
    }
    for (int k = 0; k < size; k++) {
        team[k] = (member){body, data, k, size};
        if (k > 0 && pthread_create(&thread[k], NULL, run, &team[k]) != 0) {
            abort();
        }
    }
    run(&team[0]);
    for (int k = 1; k < size; k++) {
        if (pthread_join(thread[k], NULL) != 0) {
            abort();
        }
    }
}

void GOMP_atomic_start(void)
{
    pthread_mutex_lock(&atomic);
}

void GOMP_atomic_end(void)
{
    pthread_mutex_unlock(&atomic);
}
