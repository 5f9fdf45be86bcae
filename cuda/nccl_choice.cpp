/* Whether a group can use NCCL (see nccl_comm.h): plain host code, tested without a GPU. */
#include "nccl_comm.h"

#include <stdio.h>
#include <string.h>

bool ql_nccl_records(int nccl_version, int driver_version)
{
    return nccl_version >= 20900 && driver_version >= 11030; /* before 2.9 versions had four digits: 2804 */
}

bool ql_nccl_choose(const ql_nccl_candidate *all, int count, char *why, size_t size)
{
    for (int i = 0; i < count; ++i) {
        if (!all[i].available) {
            (void)snprintf(why, size, "rank %d of the group (%s) has no NCCL", i, all[i].host);
            return false;
        }
        if (all[i].version != all[0].version) {
            (void)snprintf(why, size, "NCCL %d on %s, %d on %s", all[0].version, all[0].host, all[i].version,
                           all[i].host);
            return false;
        }
        for (int j = 0; j < i; ++j)
            if (strcmp(all[i].host, all[j].host) == 0 && strcmp(all[i].bus_id, all[j].bus_id) == 0) {
                (void)snprintf(why, size, "ranks %d and %d of the group share GPU %s of %s", j, i, all[i].bus_id,
                               all[i].host);
                return false;
            }
    }
    return true;
}
