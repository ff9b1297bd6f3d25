/* The app of the launcher's story in tests/windows.sh: knows nothing about updates. Says who it is, runs until Ctrl-Break, and
   says so. BREAKS is defined for a version that ends at once. Its second argument, a file, makes it leave a child behind. */
#include <stdio.h>
#include <windows.h>

static HANDLE asked;

static BOOL WINAPI on_event(DWORD event) {
    if (event != CTRL_BREAK_EVENT) return FALSE;
    SetEvent(asked);
    return TRUE;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc > 1 && strcmp(argv[1], "child") == 0) {
        Sleep(INFINITE);
        return 0;
    }
    printf("this is %s, started with %s\n", VERSION, argc > 1 ? argv[1] : "nothing");
#ifdef BREAKS
    fprintf(stderr, "%s breaks\n", VERSION);
    return 3;
#endif
    asked = CreateEventW(NULL, TRUE, FALSE, NULL);
    SetConsoleCtrlHandler(on_event, TRUE);
    /* A process that the launcher has to end with this one. */
    WCHAR self[MAX_PATH], line[] = L"plain child";
    GetModuleFileNameW(NULL, self, MAX_PATH);
    STARTUPINFOW start = {sizeof start};
    PROCESS_INFORMATION child;
    if (CreateProcessW(self, line, NULL, NULL, FALSE, 0, NULL, NULL, &start, &child))
        printf("child %lu\n", child.dwProcessId);
    WaitForSingleObject(asked, INFINITE);
    printf("%s ends as it was asked to\n", VERSION);
    return 0;
}
