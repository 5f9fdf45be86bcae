/* A rank that never comes to the group that it was granted, or (argument "step") does not take part in a step: the others end the job
 * instead of waiting for ever. Two ranks; this program must end by MPI_Abort with 75, and says so before. */
#include "base/log.h"
#include "comm/comm.h"
#include "sweep/crew.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static double seconds(const void *context, int64_t mesh, int group)
{
    (void)context, (void)mesh;
    return 8.0 / group;
}

static ql_status wait_for_group(ql_comm *world, bool step)
{
    ql_allotment allotment;
    const ql_allot_problem problem = {.count = 1, .ranks = 2, .only = 2, .seconds = seconds};
    double cost = 1;
    ql_crew *crew;
    ql_crew_grant grant;
    ql_comm *group;
    QL_TRY(ql_allot_make(&allotment, &problem));
    const ql_crew_settings settings = {.run_directory = ".",
                                       .costs = &cost,
                                       .allotment = &allotment,
                                       .count = 1,
                                       .meshes = 1,
                                       .log_interval_s = 1000,
                                       .hang_limit_s = step ? 5 : 1};
    QL_TRY(ql_crew_create(&crew, world, &settings));
    QL_TRY(ql_crew_next(crew, true, &grant));
    if (grant.size != 2) return QL_FAIL(INTERNAL, "granted to %d ranks", grant.size);
    if (step) QL_TRY(world->kind->group(world, grant.members, grant.size, grant.number, &group));
    if (world->rank == 1)
        for (;;) (void)pause(); /* its messenger works on: nothing but the group misses it */
    if (!step) return world->kind->group(world, grant.members, grant.size, grant.number, &group);
    ql_crew_expect(crew, QL_CREW_STEP_S);
    return ql_comm_agree(group, QL_OK);
}

int main(int argc, char **argv)
{
    ql_comm *world;
    if (!ql_launcher_mpi.launched() || ql_launcher_mpi.start(&world, &argc, &argv) != QL_OK) return 1;
    ql_log_configure(QL_LOG_INFO, world->rank, world->size);
    if (wait_for_group(world, argc > 1) != QL_OK) (void)fprintf(stderr, "failed: %s\n", ql_error_text());
    (void)fprintf(stderr, "came back from a group that cannot be\n");
    return 1;
}
