/* The ranks of a run and what they tell each other while each works on its own meshes.
 *
 * One thread per rank (the messenger) passes messages every few hundredths of a second, so a rank that computes holds up
 * nobody. Rank 0's messenger also keeps the picture of the whole: it shows progress, looks for the halt file, keeps the lock
 * of the run directory alive and decides that the run stops. Stopping is the same for all whatever its cause (signal to any
 * rank, halt file, time limit, too many failures): the first one to know tells rank 0, rank 0 tells all.
 *
 *   any rank -> 0: state, next mesh please, ask to stop, done          0 -> a rank: take this one; to all: stop, dismissed
 *
 * Work is not dealt beforehand: rank 0 has the order in which meshes begin and how many ranks each gets (sweep/allot.h), and
 * grants them to ranks as they come free. First come the meshes that several ranks share: ranks that are free wait with rank
 * 0 until the group of the next mesh is complete, which then gets its list of members; ranks that no group can use meanwhile get
 * meshes of their own. When all shared meshes have begun every rank is told so, and from then on asks for one mesh after the
 * other, ahead of need. All ranks have the same list of meshes, so a grant is one number and the members.
 *
 * Where MPI offers no MPI_THREAD_MULTIPLE the messenger's turn is taken by ql_crew_should_stop, between steps.
 */
#ifndef QL_SWEEP_CREW_H
#define QL_SWEEP_CREW_H

#include "comm/comm.h"
#include "sweep/allot.h"
#include "sweep/lock.h"

enum { QL_CREW_TEXT = 160 };

/* Ranks that were granted a mesh together all wait for just that, so their group is there within moments; later they wait for each
 * other at every step. A member that dies makes MPI end the job; one that hangs (stopped process, network that is cut, file system
 * that does not answer) would hold up the others for ever. So the messenger of a rank that waited so many seconds ends the job with
 * the code that makes batch scripts submit it again: for the group to be complete; for a step, and 20 times the last one. */
enum { QL_CREW_FORM_S = 300, QL_CREW_STEP_S = 900, QL_CREW_STEPS = 20 };

/* How far a rank is. */
typedef struct ql_crew_state {
    int64_t finished, failed;    /* meshes in this run, by this rank */
    double work_left, work_done; /* of what it was granted; floating-point operations, by the method's count */
    double seconds;              /* since its work began */
    double steps_per_s;          /* of all meshes in training */
    int64_t step, steps;         /* of the mesh named below */
    int64_t active;              /* meshes in training */
    char mesh[64];               /* one of them, "" = none */
    char quads[64];              /* whose quads are being made meanwhile, "" = none */
} ql_crew_state;

/* How a rank's work ended, or summed over all. */
typedef struct ql_crew_end {
    int64_t finished, failed, left; /* left: granted but not finished; in the sum also what nobody was granted */
    double train_s;                 /* computing in trainings */
    double comm_s;                  /* between the ranks of groups: sending, and waiting for each other */
    double io_s;                    /* reading and writing while nothing was trained */
    double form_s;                  /* until a group that we then belonged to was complete, and its communicator made */
    int64_t groups;                 /* meshes that we shared with other ranks */
    double wall_s;                  /* from the first mesh to the end of the work; in the sum the longest */
    ql_status status;               /* an error that is not a single mesh's; the worst of all */
    char text[512];                 /* of that error */
} ql_crew_end;

typedef struct ql_crew_settings {
    const char *run_directory;
    const ql_lock *lock;           /* rank 0: kept alive; NULL = none */
    const double *costs;           /* rank 0: of the meshes on the list, in its order */
    const ql_allotment *allotment; /* rank 0: of the same meshes */
    int64_t count;                 /* of meshes on the list */
    int64_t meshes;                /* of the whole run */
    int64_t finished, failed;      /* of them before this run */
    int64_t max_failures;          /* 0 = no limit */
    double log_interval_s;
    double hang_limit_s; /* in place of the times above; 0 = those */
} ql_crew_settings;

typedef struct ql_crew ql_crew;

/* Collective (every rank starts its messenger). Settings' pointers are borrowed until destroyed. */
ql_status ql_crew_create(ql_crew **crew, ql_comm *comm, const ql_crew_settings *settings);
void ql_crew_destroy(ql_crew *crew); /* NULL-safe */

/* Our own state, from any thread; it is sent from time to time. */
void ql_crew_tell(ql_crew *crew, const ql_crew_state *state);

/* Whether this rank shall stop now; cheap enough to be asked after every step. Why: ql_crew_reason, "" before. */
bool ql_crew_should_stop(ql_crew *crew);
const char *ql_crew_reason(const ql_crew *crew);

/* A mesh to do, and with whom. */
typedef struct ql_crew_grant {
    int64_t position; /* in the list; -1: no more, or the run stops */
    int number;       /* of the group: the tag for forming it */
    int size;         /* ranks that share the mesh; 0 with position -1 */
    int *members;     /* their ranks when there are several; ours by ql_crew_grant_clear */
} ql_crew_grant;

/* The next mesh to do. Waits for rank 0's messenger. `together`: one that is shared, if need be until its group is complete (or
 * one of our own meanwhile); every member of a grant must then go and form the group, whatever else happens. Position -1
 * there: all shared meshes have begun. Otherwise one of our own; only after that. */
ql_status ql_crew_next(ql_crew *crew, bool together, ql_crew_grant *grant);
/* In the group of the last grant, which is there: to be called again within so many seconds; 0: it is dissolved. */
void ql_crew_expect(ql_crew *crew, double within_s);
void ql_crew_grant_clear(ql_crew_grant *grant);

/* Whether any thread may call ql_crew_next (else only the one that created the crew). */
bool ql_crew_has_messenger(const ql_crew *crew);

/* Asks all ranks to stop. */
void ql_crew_stop(ql_crew *crew, const char *reason);

/* Collective: our work is over. Rank 0 returns when all ranks' is, with the sum; the others when rank 0 dismisses them, with
 * what it says. Waits without spinning. */
ql_status ql_crew_gather(ql_crew *crew, const ql_crew_end *mine, ql_crew_end *all);

/* Rank 0, after ql_crew_gather: lets the others go. `exit_code` is what all ranks end with. */
ql_status ql_crew_dismiss(ql_crew *crew, int exit_code);
int ql_crew_exit_code(const ql_crew *crew);

/* The name of the halt file in a run directory. */
#define QL_HALT_FILE "halt"

#endif
